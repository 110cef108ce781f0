"""One held round over a transport made up here: what is received, refused, begun again, left alone and logged."""

import importlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from collabdm.config import load_config
from collabdm.distilled.set import load
from collabdm.engine import EAGER
from collabdm.errors import ConfigError, DataError, QuorumError, RunFolderError
from collabdm.progress import Event, Report
from collabdm.protocol import Plan, acceptance
from collabdm.rounds import Reception, hold
from collabdm.rounds.distilling import distill_round
from collabdm.rounds.inbox import accept
from collabdm.rounds.receiving import close, closed, receive
from collabdm.rounds.terms import Terms
from reference import small_plan
from rounds.test_inbox import HELD, encoded
from tiny_runs import tiny_config

CONFIG = tiny_config()


class Post:
    """A transport that brings these files at once, and counts how often it was asked."""

    def __init__(self, plan: Plan, files: Mapping[str, bytes], run: Path) -> None:
        self.files, self.asked = dict(files), 0
        self._plan, self._run = plan, run

    @property
    def reception(self) -> Reception:
        return Reception(take=self._take, another_plan="of another plan", ending=lambda report: {"asked": self.asked})

    def _take(self, report: Report) -> dict[str, str]:
        refused = closed(self._run)
        if refused is not None:
            return refused
        self.asked += 1
        (self._run / "contributions").mkdir(exist_ok=True)
        for name, content in self.files.items():
            accept(self._plan, content, self._run / "contributions", name=name, expected=acceptance(self._plan))
            report(Event(stage="post", client=name, done=1, total=1))
        close(self._run, {"the sixth bag": "wet"})
        return {"the sixth bag": "wet"}


Sent = tuple[Plan, Mapping[str, bytes]]


@pytest.fixture(scope="module")
def sent() -> Sent:
    plan = small_plan()
    return plan, {name: encoded(plan, name, held) for name, held in HELD.items()}


@pytest.fixture
def post(sent: Sent, tmp_path: Path) -> Post:
    return Post(*sent, tmp_path / "run")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_round_is_received_distilled_and_measured(sent: Sent, post: Post, tmp_path: Path) -> None:
    plan, run = sent[0], tmp_path / "run"
    told: list[Event] = []
    metrics = hold(plan, run, CONFIG, post.reception, facts={"dataset": "x"}, report=told.append)
    assert json.loads((run / "metrics.json").read_text()) == metrics
    assert (metrics["refused"], metrics["missing"], metrics["asked"]) == ({"the sixth bag": "wet"}, [], 1)
    assert {"versions", "hardware", "peak_memory"} <= set(metrics)
    draw = json.loads((run / "round.json").read_text())["draw"]
    server = CONFIG.server.model_copy(update={"draw": draw})
    settled = CONFIG.model_copy(update={"engine": EAGER, "server": server})
    distill_round(plan, run / "contributions", tmp_path / "other", settled)
    assert load(run / "distilled").samples.equal(load(tmp_path / "other" / "distilled").samples)
    own, other = (dict(load(home / "distilled").facts) for home in (run, tmp_path / "other"))
    assert own == other | {"dataset": "x"}
    assert {event["stage"] for event in _events(run)} == {event.stage for event in told} == {"post", "distill"}


def test_a_round_of_files_is_logged_too(sent: Sent, tmp_path: Path) -> None:
    plan, files = sent
    run, source = tmp_path / "run", tmp_path / "source"
    source.mkdir()
    for name, content in files.items():
        (source / f"{name}.safetensors").write_bytes(content if name != "bob" else b"hello")
    reception = Reception(take=lambda report: receive(plan, source, run, report=report), another_plan="")
    metrics = hold(plan, run, CONFIG, reception)
    events = _events(run)
    assert [event["client"] for event in events if event["stage"] == "receive"] == ["ada", "cid"]
    messages = [event["message"] for event in events if event["stage"] == "collect"]
    assert messages == [f"refused {metrics['refused']['bob.safetensors']}"]
    assert [event for event in events if event["stage"] == "distill"]


@pytest.mark.parametrize(
    ("first", "terms", "error"),
    [
        (["ada"], Terms(), QuorumError),
        (["ada", "cid"], Terms(min_clients=3), QuorumError),
        (["bob"], Terms(min_clients=1), DataError),
    ],
)
def test_what_is_not_enough_opens_the_reception_again(
    first: list[str], terms: Terms, error: type[Exception], sent: Sent, post: Post, tmp_path: Path
) -> None:
    plan, files = sent
    run, post.files = tmp_path / "run", {name: files[name] for name in first}
    with pytest.raises(error):
        hold(plan, run, CONFIG, post.reception, terms=terms)
    assert closed(run) is None
    assert not (run / "metrics.json").exists()
    log = (run / "events.jsonl").read_text()
    post.files = dict(files)
    assert hold(plan, run, CONFIG, post.reception, terms=terms)["asked"] == 2
    # The log goes on.
    assert (run / "events.jsonl").read_text().startswith(log)
    assert len(_events(run)) > len(log.splitlines())


def test_what_may_be_missing_is_said_by_the_terms(sent: Sent, post: Post, tmp_path: Path) -> None:
    plan, files = sent
    post.files = {"bob": files["bob"]}
    metrics = hold(plan, tmp_path / "run", CONFIG, post.reception, terms=Terms(min_clients=1, allow_missing=True))
    assert (metrics["missing"], metrics["missing_classes"]) == (["ada", "cid"], ["class 2"])


def test_a_reception_that_has_closed_stays_closed(
    sent: Sent, post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, files = sent
    run, post.files = tmp_path / "run", {name: files[name] for name in ("ada", "cid")}

    def killed(*arguments: object, **others: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # `collabdm.rounds.holding` is the function.
        patch.setattr(importlib.import_module("collabdm.rounds.holding"), "distill_round", killed)
        with pytest.raises(KeyboardInterrupt):
            hold(plan, run, CONFIG, post.reception)
    post.files = dict(files)
    metrics = hold(plan, run, CONFIG, post.reception)
    assert (metrics["missing"], metrics["refused"], metrics["asked"]) == (["bob"], {"the sixth bag": "wet"}, 1)


def test_a_finished_folder_is_returned_as_it_is(sent: Sent, post: Post, tmp_path: Path) -> None:
    run = tmp_path / "run"
    metrics = hold(sent[0], run, CONFIG, post.reception)
    before = _files(run)
    told: list[Event] = []
    post.asked = 7
    # Only the ending is asked for anew.
    assert hold(sent[0], run, CONFIG, post.reception, report=told.append) == metrics | {"asked": 7}
    assert (_files(run), told) == (before, [])


Ask = Callable[[Plan, Path, Reception], Any]


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (
            lambda plan, run, by: hold(plan.model_copy(update={"seed": 99}), run, CONFIG, by),
            RunFolderError,
            "^of another plan$",
        ),
        (
            lambda plan, run, by: hold(plan, run, tiny_config({"server.lr": 3.0}), by),
            RunFolderError,
            "got other settings; expected those it was begun with",
        ),
        (
            lambda plan, run, by: hold(plan, run, CONFIG, by, terms=Terms(min_clients=4)),
            ConfigError,
            "--min-clients: got 4; expected at most the 3 of the plan",
        ),
    ],
    ids=["another plan", "other settings", "an impossible quorum"],
)
def test_what_is_refused_touches_nothing(
    ask: Ask, error: type[Exception], message: str, sent: Sent, post: Post, tmp_path: Path
) -> None:
    plan, run = sent[0], tmp_path / "run"
    with pytest.raises(QuorumError):
        hold(plan, run, CONFIG, Post(plan, {}, run).reception)
    before = _files(run)
    with pytest.raises(error, match=message):
        ask(plan, run, post.reception)
    assert (_files(run), post.asked) == (before, 0)


def test_a_held_round_draws_by_a_number_of_its_own_and_keeps_it(sent: Sent, tmp_path: Path) -> None:
    draws = []
    for name in ("one", "other"):
        run = tmp_path / name
        hold(sent[0], run, CONFIG, Post(*sent, run).reception)
        draws.append(json.loads((run / "round.json").read_text())["draw"])
        assert load_config(file=run / "config.toml").server.draw == draws[-1]
        # No card tells it.
        assert str(draws[-1]) not in (run / "distilled" / "README.md").read_text()
        assert str(draws[-1]) not in json.dumps(dict(load(run / "distilled").facts))
    assert draws[0] != draws[1]
    # Interrupted before it was distilled, it goes on with the draw that it began with.
    run = tmp_path / "one"
    before = _files(run / "distilled")
    for path in (run / "distilled", run / "initial"):
        shutil.rmtree(path)
    for name in ("metrics.json", "round.json"):
        (run / name).unlink()
    hold(sent[0], run, CONFIG, Post(*sent, run).reception)
    assert _files(run / "distilled") == before
    # With its number, the round repeats elsewhere.
    again = CONFIG.model_copy(update={"server": CONFIG.server.model_copy(update={"draw": draws[0]})})
    hold(sent[0], tmp_path / "again", again, Post(*sent, tmp_path / "again").reception)
    assert _files(tmp_path / "again" / "distilled") == before
