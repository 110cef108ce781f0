import errno
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.conftest import TINY, assert_refused, run, write_npz
from collabdm.config import load_config
from collabdm.storage.locks import LOCK, locked

Make = Callable[[Path], object]


def _garbage(path: Path) -> Path:
    path.write_bytes(b"not an archive")
    return path


def _unequal(path: Path) -> Path:
    for split in ("train", "test"):
        for number, name in enumerate(("a", "b")):
            folder = path.with_suffix("") / split / name
            folder.mkdir(parents=True)
            Image.new("L", (8, 8 + number)).save(folder / "0.png")
    return path.with_suffix("")


def _pixels(value: float) -> Make:
    images = np.full((30, 8, 8), 0.5, np.float32)
    images[3, 2, 1] = value
    return lambda path: write_npz(path, x_train=images)


DATA: dict[str, tuple[Make, str]] = {
    "missing": (lambda path: path, "no such file"),
    "unreadable": (_garbage, "readable .npz"),
    "label outside the classes": (lambda path: write_npz(path, y_train=np.arange(30) % 4), "0 to 2"),
    "images of unequal size": (_unequal, "one size"),
    "NaN": (_pixels(np.nan), "NaN"),
    "infinity": (_pixels(np.inf), "infinity"),
    "class that nobody holds": (
        lambda path: write_npz(path, classes=np.array(["a", "b", "c", "d"])),
        "--allow-missing-classes",
    ),
}

ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "beta zero": (["--partition", "dirichlet", "--beta", "0"], "partition.beta"),
    "beta negative": (["--partition", "dirichlet", "--beta", "-1"], "partition.beta"),
    "beta no number": (["--beta", "small"], "--beta"),
    "more clients than samples": (["--clients", "2000"], "2000"),
    "no clients": (["--clients", "0"], "partition.clients"),
    "a client twice": (["--clients", "a,a"], "distinct"),
    "unknown method": (["--method", "magic"], "magic"),
    "unknown network": (["--set", "plan.network=perceptron"], "perceptron"),
    "unknown option": (["--speed", "9"], "--speed"),
    "unknown key": (["--set", "plan.speed=9"], "plan.speed"),
    "no value": (["--set", "ipc"], "key=value"),
    "unknown preset": (["--preset", "best"], "best"),
    "unknown partition": (["--partition", "fair"], "partition.kind"),
    "unknown device": (["--device", "abacus"], "abacus"),
    "ipc zero": (["--ipc", "0"], "ipc"),
    "column unknown": (["--partition", "by-column", "--set", "partition.column=station"], "station"),
    "column missing": (["--partition", "by-column"], "partition.column"),
    "tiles too small": (["--set", "plan.tiles=5"], "5"),
    "no such config": (["--config", "nowhere.toml"], "nowhere.toml"),
    "no quorum possible": (["--min-clients", "0"], "--min-clients"),
    "a quorum beyond the plan": (["--min-clients", "4"], "--min-clients: got 4; expected at most the 3 of the plan"),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_data_is_refused_in_one_line_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, mentions = DATA[name]
    source = make(tmp_path / "data.npz")
    before = sorted(tmp_path.rglob("*"))
    outcome = run("simulate", "--dataset", source, *TINY, "--out", tmp_path / "run", "--quiet")
    assert_refused(outcome, mentions)
    assert len(outcome.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_are_refused_in_one_line_and_leave_nothing(name: str, tmp_path: Path) -> None:
    arguments, mentions = ARGUMENTS[name]
    outcome = run("simulate", "--dataset", "digits", *TINY, "--quiet", *arguments, "--out", tmp_path / "run")
    assert_refused(outcome, mentions)
    assert len(outcome.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_classes_that_nobody_holds_are_allowed_on_request(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "data.npz", classes=np.array(["a", "b", "c", "d"]))
    arguments = ("--dataset", source, *TINY, "--out", tmp_path / "run", "--json", "--allow-missing-classes")
    outcome = run("simulate", *arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.json["missing_classes"] == ["d"]


@pytest.mark.parametrize(
    ("content", "mentions"),
    [
        (b"{", "no JSON"),
        (b"[]", "another kind"),
        (b'{"format": "collabdm-plan", "version": 99}', "version 99"),
        (b'{"format": "collabdm-plan", "version": 1}', "seed"),
        (None, "No such file"),
    ],
)
@pytest.mark.parametrize("command", ["contribute", "distill"])
def test_bad_plan(command: str, content: bytes | None, mentions: str, tmp_path: Path) -> None:
    plan, contributions = tmp_path / "plan.json", tmp_path / "contributions"
    contributions.mkdir()
    if content is not None:
        plan.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    own = ("--client", "0", "--dataset", "digits") if command == "contribute" else (contributions,)
    assert_refused(run(command, plan, *own, "--out", tmp_path / "out"), mentions)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("methods", ["", " , "])
def test_compare_refuses_no_methods(methods: str, tmp_path: Path) -> None:
    outcome = run("compare", "--dataset", "digits", *TINY, "--methods", methods, "--out", tmp_path / "run")
    assert_refused(outcome, "methods to compare: got none")
    assert not (tmp_path / "run").exists()


def test_compare_refuses_an_unknown_method_before_any_work(tmp_path: Path) -> None:
    outcome = run("compare", "--dataset", "digits", *TINY, "--methods", "collabdm,magic", "--out", tmp_path / "run")
    assert_refused(outcome, "magic")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (["--classes", "a,b"], "--shape"),
        (["--classes", "a,b", "--shape", "8x8"], "8x8"),
        (["--classes", "a,b", "--shape", "1x1x9"], "plan.network.pooling=none"),
        (["--dataset", "digits", "--method", "random-real"], "random-real"),
        (["--dataset", "digits", "--clients", "a,b\x01c"], "clients"),
    ],
)
def test_plan_of_impossible_wishes(arguments: list[str], mentions: str, tmp_path: Path) -> None:
    assert_refused(run("plan", *arguments, "--out", tmp_path / "plan.json"), mentions)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("place", "mentions"),
    [("file/run", "file is a file, not a folder"), ("file/deeper/run", "a file, not a folder"), ("link", "a link to")],
)
def test_where_nothing_can_be_written_is_told_before_any_work(place: str, mentions: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    assert_refused(run("simulate", "--dataset", "digits", *TINY, "--out", tmp_path / place), mentions)
    plan = run("plan", "--dataset", "digits", *TINY, "--out", tmp_path / place)
    assert_refused(plan, mentions)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_machine_refuses_on_the_way_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/runs/distilled")

    monkeypatch.setattr("collabdm.storage.files.os.replace", full)
    outcome = run("plan", "--dataset", "digits", *TINY, "--out", tmp_path / "plan.json")
    assert_refused(outcome, "/srv/runs/distilled: got No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_stops_is_no_error() -> None:
    command = f"{Path(sys.executable).parent / 'collabdm'} experiment list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=300)
    assert done.stderr == ""


def test_an_empty_folder_that_was_there_is_empty_again(tmp_path: Path) -> None:
    data, out = write_npz(tmp_path / "data.npz", classes=np.array(["a", "b", "c", "d"])), tmp_path / "run"
    out.mkdir()
    for _ in range(2):
        assert_refused(run("simulate", "--dataset", data, *TINY, "--out", out, "--quiet"), "--allow-missing-classes")
        assert list(out.iterdir()) == []


def test_a_run_is_not_replaced_from_within_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "run")
    assert_refused(run("simulate", "--dataset", "digits", *TINY, "--out", ".", "--force"), "where you are")
    assert (tmp_path / "run" / "metrics.json").exists()


def test_a_full_disk_leaves_the_run_that_was_to_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    asked = ("simulate", "--dataset", "digits", *TINY, "--out", tmp_path / "run", "--quiet")
    assert run(*asked).code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr("collabdm.simulation.round.distill_round", full)
    assert_refused(run(*asked, "--force"), "No space left on device")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    # Nothing was to be replaced here: what is done so far is kept for --resume.
    assert_refused(run(*asked[:-2], tmp_path / "new", "--quiet"), "No space left on device")
    assert list((tmp_path / "new" / "contributions").iterdir())


def test_a_run_behind_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for _ in range(2):
        outcome = run("simulate", "--dataset", "digits", *TINY, "--out", tmp_path / "link", "--quiet", "--force")
        assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]
    assert (tmp_path / "real" / "metrics.json").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("simulate", "--dataset", "digits", *TINY, "--force"),
        ("simulate", "--dataset", "digits", *TINY, "--resume"),
        ("simulate", "--dataset", "digits", *TINY),
        ("compare", "--dataset", "digits", "--methods", "random-real", "--force"),
        ("distill", "PLAN", "FOLDER", "--force"),
        ("distill", "--add", "PLAN"),
        ("distill", "--remove", "0"),
        ("forget", "0"),
    ],
    ids=lambda command: " ".join(word for word in command if word.islower() and "=" not in word),
)
def test_a_folder_at_work_is_told_of_at_once_and_left_alone(
    command: tuple[str, ...], exchanged: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(exchanged / "run", out)
    given = {"PLAN": exchanged / "plan.json", "FOLDER": exchanged / "contributions"}
    with locked(out):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        outcome = run(*(given.get(word, word) for word in command), "--out", out)
        assert_refused(outcome, f"{out}: got another run at work there; expected none; fix: wait")
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_two_processes_that_replace_one_folder_leave_the_run_of_one(tmp_path: Path) -> None:
    """The second comes while the first is at work; what is left is the first's, whole."""
    out, arguments = tmp_path / "run", ("--dataset", "digits", *TINY, "--force", "--quiet")
    assert run("simulate", *arguments, "--out", out).code == 0
    command = [
        sys.executable,
        "-c",
        "from collabdm.cli import main; main()",
        "simulate",
        *arguments,
        "--out",
        str(out),
        "--seed",
        "7",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        while first.poll() is None and not (out / LOCK).exists():
            time.sleep(0.01)
        second = run("simulate", *arguments, "--out", out, "--seed", "8")
        said = first.communicate()[1]
    assert first.returncode == 0, said
    assert_refused(second, "another run at work there")
    assert run("info", out, "--json").json["seed"] == 7
    assert load_config(file=out / "config.toml").seed == 7
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
