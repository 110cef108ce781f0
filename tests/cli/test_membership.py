"""The file server's deadline, and clients that come, go and are forgotten, from the command line."""

import json
import shutil
from pathlib import Path

import pytest

from cli.conftest import TINY, Outcome, assert_refused, draw_of, run
from collabdm.cli.options import seconds_of
from collabdm.distilled.set import load
from collabdm.errors import ConfigError

Simulated = tuple[Path, Outcome]


def _some(exchanged: Path, folder: Path, clients: str) -> Path:
    folder.mkdir()
    for client in clients:
        shutil.copy(exchanged / "contributions" / f"from {client}.safetensors", folder)
    return folder


def _held(exchanged: Path, simulated: Simulated, tmp_path: Path, clients: str) -> Path:
    source, settings = _some(exchanged, tmp_path / "source", clients), ("--config", simulated[0] / "config.toml")
    outcome = run("distill", exchanged / "plan.json", source, *settings, "--out", tmp_path / "run", "--quiet")
    assert outcome.code == 0, outcome.err
    return tmp_path / "run"


def test_the_deadline_passes(exchanged: Path, simulated: Simulated, tmp_path: Path) -> None:
    source, out = _some(exchanged, tmp_path / "source", "0"), tmp_path / "run"
    settings = ("--config", simulated[0] / "config.toml", "--out", out, "--quiet", "--json")
    asked = ("distill", exchanged / "plan.json", source, *settings, "--deadline", "1")
    assert_refused(run(*asked), "usable contributions", code=3)
    # What came is kept, and another try may wait again.
    assert len(list((out / "contributions").iterdir())) == 1
    first = (out / "events.jsonl").read_text()
    assert '"client": "0"' in first
    shutil.copy(exchanged / "contributions" / "from 1.safetensors", source)
    outcome = run(*asked, "--resume")
    assert (outcome.code, outcome.json["missing"]) == (0, ["2"])
    whole = (out / "events.jsonl").read_text()
    assert whole.startswith(first)
    assert '"stage": "distill"' in whole[len(first) :]
    shutil.copy(exchanged / "contributions" / "from 2.safetensors", source)
    late = run(*asked, "--resume")
    assert late.json["late"] == ["from 2.safetensors"]
    assert "not taken from 2.safetensors: it came after the reception closed" in late.err
    assert late.json["missing"] == ["2"]
    assert (out / "events.jsonl").read_text() == whole


def test_all_have_answered_before_the_deadline(exchanged: Path, simulated: Simulated, tmp_path: Path) -> None:
    settings = ("--config", simulated[0] / "config.toml", *draw_of(exchanged / "run"), "--out", tmp_path / "run")
    outcome = run("distill", exchanged / "plan.json", exchanged / "contributions", *settings, "--deadline", "2h")
    assert outcome.code == 0, outcome.err
    assert load(tmp_path / "run" / "distilled").samples.equal(load(exchanged / "run" / "distilled").samples)
    kept = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert kept == sorted(
        [
            *("config.toml", "contributions", "contributions.sha256", "distilled", "events.jsonl"),
            *("initial", "loss.png", "metrics.json", "plan.json", "reception.json", "round.json"),
        ]
    )


def test_a_site_comes_late_leaves_and_is_forgotten(exchanged: Path, simulated: Simulated, tmp_path: Path) -> None:
    out, late = _held(exchanged, simulated, tmp_path, "01"), exchanged / "contributions" / "from 2.safetensors"
    never = load(out / "distilled")
    added = run("distill", "--add", late, "--out", out, "--quiet", "--json", "--passes", 2)
    assert (added.code, added.json["missing"], len(added.json["losses"])) == (0, [], 6)
    removed = run("distill", "--remove", "2", "--out", out, "--quiet")
    assert removed.code == 0
    assert "NOT forgetting: the set was shaped by that site's data" in removed.out
    assert f"collabdm forget 2 --out {out}" in removed.out
    assert not load(out / "distilled").samples.equal(never.samples)
    forgotten = run("forget", "2", "--out", out, "--quiet")
    assert forgotten.code == 0, forgotten.err
    assert load(out / "distilled").samples.equal(never.samples)
    assert load(out / "distilled").facts == never.facts
    for words in ("not recalled", str(tmp_path / "source"), "backups", "copies of the earlier set"):
        assert words in forgotten.out
    assert json.loads((out / "metrics.json").read_text())["missing"] == ["2"]
    # Started again, the finished round is told, not made anew.
    asked = ("distill", exchanged / "plan.json", tmp_path / "source", "--config", simulated[0] / "config.toml")
    assert run(*asked, "--out", out, "--resume", "--json", "--quiet").json["missing"] == ["2"]


@pytest.mark.parametrize(
    ("arguments", "mentions", "code"),
    [
        (["distill", "--add", "LATE", "--remove", "0"], "--add and --remove", 2),
        (["distill", "--add", "LATE", "--deadline", "3s"], "--deadline", 2),
        (["distill", "PLAN", "--add", "LATE"], "PLAN", 2),
        (["distill", "--add", "LATE", "--force"], "--force", 2),
        (["distill", "--add", "LATE", "--ipc", "7"], "settings", 2),
        (["distill", "--add", "nowhere.safetensors"], "--add nowhere.safetensors", 2),
        (["distill", "--add", "PLAN"], "plan.json: got another kind of file, or a damaged one", 2),
        (["distill", "--add", "IN"], "the same file of client 0", 2),
        (["distill", "--remove", "west"], "west", 2),
        (["distill", "--remove", "0"], "usable contributions", 3),
        (["forget", "0"], "usable contributions", 3),
        (["forget", "2"], "client: got 2", 2),
        (["distill", "PLAN", "--passes", "2"], "--passes", 2),
        (["distill", "PLAN"], "too few arguments", 2),
        (["distill", "PLAN", "SOURCE", "--deadline", "soon"], "--deadline: got soon", 2),
    ],
)
def test_what_a_change_refuses(
    arguments: list[str],
    mentions: str,
    code: int,
    exchanged: Path,
    held_by_two: Path,
) -> None:
    named = {
        "LATE": exchanged / "contributions" / "from 2.safetensors",
        "IN": exchanged / "contributions" / "from 0.safetensors",
        "PLAN": exchanged / "plan.json",
        "SOURCE": exchanged / "contributions",
    }
    before = {path: path.read_bytes() for path in held_by_two.rglob("*") if path.is_file()}
    outcome = run(*(named.get(argument, argument) for argument in arguments), "--out", held_by_two)
    assert_refused(outcome, mentions, code)
    assert {path: path.read_bytes() for path in held_by_two.rglob("*") if path.is_file()} == before


def test_a_late_file_is_read_no_further_than_an_honest_one_could_be(held_by_two: Path, tmp_path: Path) -> None:
    huge = tmp_path / "huge.safetensors"
    with open(huge, "wb") as file:
        file.truncate(2**40)
    assert_refused(run("distill", "--add", huge, "--out", held_by_two), "huge.safetensors: got more than")
    assert_refused(run("info", huge.rename(tmp_path / "plan.json")), "a plan file")


def test_a_damaged_stored_contribution_is_mended_by_its_file(
    exchanged: Path, simulated: Simulated, tmp_path: Path
) -> None:
    out = _held(exchanged, simulated, tmp_path, "012")
    stored = sorted((out / "contributions").iterdir())[1]
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    stored.write_bytes(stored.read_bytes()[:-5])
    assert_refused(run("forget", "2", "--out", out, "--quiet"), "bytes damaged since they were stored")
    mended = run("distill", "--add", exchanged / "contributions" / "from 1.safetensors", "--out", out)
    assert mended.code == 0, mended.err
    assert "client 1 was damaged, and is whole again" in mended.err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_round_may_be_changed_from_within_its_folder(
    exchanged: Path, simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _held(exchanged, simulated, tmp_path, "012")
    monkeypatch.chdir(out)
    for arguments in (("distill", "--remove", "1"), ("forget", "2", "--min-clients", "1")):
        outcome = run(*arguments, "--out", ".", "--quiet")
        assert outcome.code == 0, outcome.err
    assert not (out / "change.json").exists()
    assert [path.name[0] for path in (out / "contributions").iterdir()] == ["0"]


@pytest.fixture(scope="module")
def held_by_two(exchanged: Path, simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _held(exchanged, simulated, tmp_path_factory.mktemp("two"), "01")


def test_a_run_of_another_plan_is_not_resumed(exchanged: Path, held_by_two: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert run("plan", "--dataset", "digits", *TINY, "--seed", 1, "--out", plan).code == 0
    asked = ("distill", plan, exchanged / "contributions", "--out", held_by_two, "--resume")
    assert_refused(run(*asked), "another plan")


def test_a_simulation_is_not_changed(simulated: Simulated) -> None:
    assert_refused(run("distill", "--remove", "0", "--out", simulated[0]), "a simulation")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("45", 45), (" 1.5h ", 5400)])
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text, "--deadline") == seconds


@pytest.mark.parametrize("text", ["", "h", "-3s", "2 days", "1e9", "3d", "nan", "9" * 30])
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigError, match="--deadline: got "):
        seconds_of(text, "--deadline")


def test_who_has_not_answered_is_said_and_how_it_still_can(exchanged: Path, tmp_path: Path) -> None:
    source, out = _some(exchanged, tmp_path / "source", "01"), tmp_path / "the run"
    outcome = run("distill", exchanged / "plan.json", source, "--engine", "eager", "--device", "cpu", "--out", out)
    assert outcome.code == 0, outcome.err
    assert "  no usable answer from  2\n" in outcome.out
    site, judge = outcome.out.splitlines()[-2:]
    assert site.startswith("next, at each site without an answer: contribute, as the others did")
    assert site.endswith(f"collabdm distill --add 2.safetensors --out '{out}'")
    assert judge.startswith(f"next, for whoever has test data: collabdm evaluate '{out}' --dataset DATA")
    late = exchanged / "contributions" / "from 2.safetensors"
    added = run("distill", "--add", late, "--out", out, "--quiet").out
    assert "with 1 pass over the seeds, towards the means of all who are in now" in added
    assert "not that set: distil all files anew for that; --passes N goes further" in added
    assert_refused(run("distill", "--remove", "02", "--out", out), "client: got 02; expected one that is in this round")
    few = _some(exchanged, tmp_path / "few", "0")
    refused = run("distill", exchanged / "plan.json", few, "--out", tmp_path / "none", "--quiet")
    assert_refused(refused, "fix: wait for more contributions (none from 1, 2), or lower --min-clients", code=3)
