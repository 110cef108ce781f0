"""A site that answers a plan: what it is told before, on the way, and when it stops."""

import re
from pathlib import Path

import numpy as np
import pytest

import collabdm.client.site
from cli.conftest import PLANNED, assert_refused, run, write_npz
from collabdm.protocol import decode_contribution, decode_plan

ENGINE = ("--engine", "eager", "--device", "cpu")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user of our own: the cache of whoever runs the tests is left alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planned(tmp_path_factory.mktemp("plan") / "plan.json")


def planned(path: Path, *settings: object) -> Path:
    shape = ("--classes", "a,b,c,d", "--shape", "1x8x8", "--clients", "north,south", "--set", "plan.min_held=2")
    assert run("plan", *PLANNED, *shape, *settings, "--out", path, "--force").code == 0
    return path


def kept(home: Path) -> list[Path]:
    return sorted((home / "collabdm" / "answers").glob("*"))


@pytest.mark.parametrize(
    "settings",
    [(), ("--set", "plan.encoding=int8"), ("--set", "local.method=kmeans"), ("--set", "plan.participation=0.5")],
)
def test_a_check_foretells_the_answer_to_the_byte_and_writes_nothing(
    settings: tuple[str, ...], home: Path, tmp_path: Path
) -> None:
    plan, own = planned(tmp_path / "plan.json", *settings), write_npz(tmp_path / "own.npz")
    asked = ("contribute", plan, "--client", "north", "--dataset", own, *ENGINE, "--json")
    before = sorted(tmp_path.rglob("*"))
    told = run(*asked, "--check").json
    assert sorted(tmp_path.rglob("*")) == before
    sent = run(*asked, "--out", tmp_path / "north.safetensors").json
    assert (told["fits"], told["samples"], told["raw_bytes"]) == (True, 30, 30 * 64)
    assert told["held"] == {"a": 10, "b": 10, "c": 10}
    # Of the header only the digits differ in which offsets are written.
    assert told["bytes"] == pytest.approx(sent["bytes"], abs=64)
    assert {**told["parts"], "header": 0} == {**sent["parts"], "header": 0}
    assert 0 < told["seconds"] < 60
    assert told["seconds"] == pytest.approx(sum(told["stages"].values()))
    assert kept(home) == []


def test_a_check_foretells_sums_under_a_promise(tmp_path: Path) -> None:
    private = ("--set", "plan.privacy={epsilon=4.0,samples=100}", "--set", "local.method=none", "--set", "plan.seeds=4")
    shape = ("--classes", "a,b,c", "--shape", "1x8x8", "--clients", "north,south", *private)
    plan, own = tmp_path / "plan.json", write_npz(tmp_path / "own.npz")
    assert run("plan", *shape, "--out", plan).code == 0
    asked = ("contribute", plan, "--client", "north", "--dataset", own, *ENGINE, "--json")
    told, sent = run(*asked, "--check").json, run(*asked, "--out", tmp_path / "north.safetensors").json
    assert told["parts"]["sums"] == sent["parts"]["sums"]
    assert told["seconds"] > 0


def test_a_check_tells_people_what_they_need(plan: Path, tmp_path: Path) -> None:
    labels = np.array([0] * 12 + [1])
    own = write_npz(tmp_path / "own.npz", x_train=np.zeros((13, 8, 8), np.uint8), y_train=labels)
    told = run("contribute", plan, "--client", "north", "--dataset", own, *ENGINE, "--check").out
    assert told.startswith("the data of north fit the plan; nothing was written\n")
    lines = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in told.splitlines()[1:-1])
    assert lines["samples"] == "13 of the size 1x8x8 that the plan asks for"
    assert lines["held by others only"] == "c, d"
    assert lines["nothing is sent of"] == "b (1)"
    assert lines["will take"].endswith(" on this machine as it is now, and the time to read the data")
    assert "sent, raw data 832 B: a round pays for itself with more data" in told
    assert f"next, here: collabdm contribute {plan} --client north --dataset DATA --out north.safetensors" in told


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"x_train": np.zeros((30, 9, 9), np.uint8)}, "9"),
        ({"classes": np.array(["a", "bb", "e"])}, "class names of the data: got bb"),
    ],
)
def test_a_check_refuses_what_does_not_fit(
    changes: dict[str, np.ndarray], mentions: str, plan: Path, tmp_path: Path
) -> None:
    own = write_npz(tmp_path / "own.npz", **changes)
    assert_refused(run("contribute", plan, "--client", "north", "--dataset", own, "--check"), mentions)


def test_names_that_are_near_are_told(plan: Path, tmp_path: Path) -> None:
    own = write_npz(tmp_path / "own.npz")
    refused = run("contribute", plan, "--client", "nroth", "--dataset", tmp_path / "not looked at", "--check")
    assert_refused(refused, "client: got nroth; expected one of the plan's: north, south; fix: did you mean north?")
    assert_refused(run("contribute", plan, "--client", "north", "--dataset", own), "--out: got none")


@pytest.mark.parametrize(
    ("given", "mentions"),
    [
        (("plan.seeds=7",), "settings: got plan.seeds = 7, where the plan has 3; expected none that the plan decides"),
        (("ipc=4",), "got ipc = 4, where the plan has 1"),
        (("method=local-dm",), "got method = local-dm, where the plan has collabdm"),
        (("plan.augment=none",), "got plan.augment = none, where the plan has colour, crop, cutout, scale"),
        (("plan.network.width=8",), "got plan.network.width = 8, where the plan has 4"),
        (("local.iterations=5",), "got local.iterations = 5, where the plan has 3"),
        (("server.passes=7",), "settings of a site: got server; expected only what a site decides"),
        (("evaluate.count=7",), "settings of a site: got evaluate"),
    ],
)
def test_a_setting_that_is_not_the_sites_is_refused(
    given: tuple[str, ...], mentions: str, plan: Path, tmp_path: Path
) -> None:
    settings = [word for setting in given for word in ("--set", setting)]
    asked = ("contribute", plan, "--client", "north", "--dataset", tmp_path / "not looked at", *settings)
    assert_refused(run(*asked, "--out", tmp_path / "north.safetensors"), mentions)


def test_settings_that_the_plan_has_too_are_no_contradiction(plan: Path, tmp_path: Path) -> None:
    own = write_npz(tmp_path / "own.npz")
    same = ("--set", "plan.seeds=3", "--set", "plan.augment=auto", "--set", "ipc=1", "--set", "plan.network.width=4")
    asked = ("contribute", plan, "--client", "north", "--dataset", own, *ENGINE, *same)
    assert run(*asked, "--out", tmp_path / "north.safetensors").code == 0


def test_the_server_may_not_distil_otherwise_than_the_plan_says(plan: Path, tmp_path: Path) -> None:
    refused = run("distill", plan, tmp_path, "--set", "plan.seeds=7", "--out", tmp_path / "run")
    assert_refused(refused, "got plan.seeds = 7, where the plan has 3")


def _stopped(*given: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_answer_goes_on_and_leaves_nothing(
    plan: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, out = write_npz(tmp_path / "own.npz"), tmp_path / "north.safetensors"
    asked = ("contribute", plan, "--client", "north", "--dataset", own, *ENGINE, "--quiet", "--out", out)

    with monkeypatch.context() as patch:
        patch.setattr(collabdm.client.site, "distill_locally", _stopped)
        outcome = run(*asked)
    assert (outcome.code, out.exists()) == (130, False)
    (folder,) = kept(home)
    told = f"interrupted; the same command goes on from here, with what is kept in {folder}; rm -r {folder} drops it"
    assert outcome.err == f"error: {told}\n"
    assert list(folder.rglob("statistics-*.safetensors"))
    assert not folder.stat().st_mode & 0o077

    def once_more(*given: object, **named: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr("collabdm.client.sums.client_sums", once_more)
        assert run(*asked).code == 0
    assert kept(home) == []
    decode_contribution(out.read_bytes(), decode_plan(plan.read_bytes()))


def test_nothing_is_kept_where_it_may_not_be(
    plan: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, out = write_npz(tmp_path / "own.npz"), tmp_path / "north.safetensors"
    asked = ("contribute", plan, "--client", "north", "--dataset", own, *ENGINE, "--quiet", "--out", out)

    with monkeypatch.context() as patch:
        patch.setattr(collabdm.client.site, "distill_locally", _stopped)
        outcome = run(*asked, "--no-cache")
    assert outcome.err == "error: interrupted; nothing was kept: the same command begins anew\n"
    assert kept(home) == []
    # A home that cannot be written to (a container, say) is no reason not to answer.
    home.write_text("a file where the folder should be")
    outcome = run(*asked)
    assert (outcome.code, out.exists()) == (0, True)
    assert outcome.err.startswith("no work is kept on the way (")
