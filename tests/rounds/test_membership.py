"""Clients come and go after a round: targets to the bit, kills at every step, and what is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.classifiers.file import load_classifier
from collabdm.client import contribute
from collabdm.data import Samples
from collabdm.distilled.set import load
from collabdm.engine import EAGER
from collabdm.errors import CollabDMError, ContributionError, DataError, QuorumError, RunFolderError
from collabdm.initial_set import initial_set
from collabdm.protocol import Plan, encode_contribution
from collabdm.rounds import Reception, hold
from collabdm.rounds import distilling as rounds
from collabdm.rounds import membership as changes
from collabdm.rounds.change import under_way
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.inbox import collect
from collabdm.rounds.membership import add, carry_out, forget, remove, unknown_files
from collabdm.rounds.receiving import INBOX, receive
from collabdm.rounds.terms import USUAL, Terms
from collabdm.server import aggregate
from collabdm.storage import checkpoints
from reference import small_plan
from rounds.refining import refined
from tiny_runs import tiny_config

HELD = {"ada": [6, 0, 2], "bob": [3, 5, 0], "cid": [2, 1, 4], "dee": [0, 2, 2]}
# One draw for all rounds that are compared.
CONFIG = tiny_config({"server.passes": 2, "server.lr": 1.0, "server.draw": 5})
NOW = "2026-01-01T00:00:00+00:00"
Sent = tuple[Plan, Mapping[str, bytes]]


@pytest.fixture(scope="module")
def sent(make_samples: Callable[..., Samples]) -> Sent:
    plan = small_plan(clients=tuple(HELD), local={"iterations": 1})
    made = {k: contribute(plan, k, make_samples(held, plan.sample.shape), engine=EAGER) for k, held in HELD.items()}
    return plan, {name: encode_contribution(one, plan) for name, one in made.items()}


def _held(plan: Plan, files: Mapping[str, bytes], folder: Path, terms: Terms = USUAL) -> Path:
    """A finished round of these clients, as the command line leaves it."""
    run, source = folder / "run", folder / "source"
    source.mkdir(parents=True)
    for name, content in files.items():
        (source / f"{name}.safetensors").write_bytes(content)
    reception = Reception(take=lambda report: receive(plan, source, run, report=report), another_plan="")
    config = CONFIG.model_copy(update={"engine": EAGER})
    hold(plan, run, config, reception, terms=terms, facts={"dataset": "x"})
    return run


@pytest.fixture(scope="module")
def held(sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished rounds by who was there: `abc`, `abcd`, `acd`."""
    plan, files = sent
    home = tmp_path_factory.mktemp("held")
    groups = {"abc": "abc", "abcd": "abcd", "acd": "acd"}
    return {
        name: _held(plan, {k: v for k, v in files.items() if k[0] in who}, home / name) for name, who in groups.items()
    }


@pytest.fixture
def run(held: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A copy of a finished round; changes begin at a fixed time."""

    class Then:
        @staticmethod
        def now(_: object) -> Any:
            return type("When", (), {"isoformat": lambda self, timespec: NOW})()

    monkeypatch.setattr(changes, "datetime", Then)
    return lambda name: Path(shutil.copytree(held[name], tmp_path / "run"))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _continued(plan: Plan, present: torch.Tensor, files: list[bytes], tmp_path: Path, passes: int) -> torch.Tensor:
    """The reference: a fresh aggregation of all files, and plain refinement of the present images."""
    inbox = tmp_path / "fresh"
    inbox.mkdir()
    for number, content in enumerate(files):
        (inbox / f"{number}.safetensors").write_bytes(content)
    contributions = list(collect(plan, inbox).contributions.values())
    target = aggregate(plan, contributions)
    labels = initial_set(plan, contributions).labels
    spec = CONFIG.server.model_copy(update={"passes": passes})
    return refined(plan, target, present, labels, spec, engine=EAGER)[0]


@pytest.fixture(scope="module")
def taught(make_samples: Callable[..., Samples]) -> Sent:
    """What clients send to a plan with the Gram matrix."""
    gram = {"statistics": ["mean", "gram"], "features": {"name": "patches", "width": 4}, "gram_bits": 8}
    plan = small_plan(clients=tuple(HELD), local={"iterations": 1}, **gram)
    made = {k: contribute(plan, k, make_samples(held, plan.sample.shape), engine=EAGER) for k, held in HELD.items()}
    return plan, {name: encode_contribution(one, plan) for name, one in made.items()}


def test_a_sites_gram_matrix_comes_and_goes_with_it(taught: Sent, tmp_path: Path) -> None:
    plan, files = taught
    fresh = {
        who: _held(plan, {k: v for k, v in files.items() if k[0] in who}, tmp_path / who)
        for who in ("abc", "abcd", "acd")
    }

    def teacher(folder: Path) -> dict[str, bytes]:
        parameters = load_classifier(folder / "teacher.safetensors").parameters
        return {name: value.numpy().tobytes() for name, value in parameters.items()}

    teachers = {who: teacher(folder) for who, folder in fresh.items()}
    assert len({one["classifier.weight"] for one in teachers.values()}) == 3
    changed = Path(shutil.copytree(fresh["abc"], tmp_path / "run"))
    add(changed, files["dee"], name="late")
    assert teacher(changed) == teachers["abcd"]
    remove(changed, "bob")
    assert teacher(changed) == teachers["acd"]
    here, there = (list(collect(plan, home / INBOX).contributions.values()) for home in (changed, fresh["acd"]))
    ours, theirs = (aggregate(plan, contributions).equations for contributions in (here, there))
    assert ours is not None
    assert theirs is not None
    assert np.array_equal(ours.gram, theirs.gram)
    assert np.array_equal(ours.cross, theirs.cross)


def test_forgetting_removes_the_teacher_before_anything_else(
    taught: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, files = taught
    folder = _held(plan, files, tmp_path / "abcd")
    assert unknown_files(folder) == []
    without = _held(plan, {k: v for k, v in files.items() if k != "bob"}, tmp_path / "acd")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(changes, "distill_round", killed)
        with pytest.raises(KeyboardInterrupt):
            forget(folder, "bob")
    assert not (folder / "teacher.safetensors").exists()
    forget(folder, "bob")
    for name in ("teacher.safetensors", "distilled/distilled.safetensors"):
        assert (folder / name).read_bytes() == (without / name).read_bytes()


@pytest.mark.parametrize("passes", [1, 3])
def test_a_late_client_gives_the_target_of_a_fresh_aggregation(
    passes: int, sent: Sent, run: Callable[[str], Path], tmp_path: Path
) -> None:
    plan, files = sent
    folder = run("abc")
    before = load(folder / "distilled")
    metrics = add(folder, files["dee"], name="late", passes=passes)
    after = load(folder / "distilled")
    assert torch.equal(after.samples, _continued(plan, before.samples, list(files.values()), tmp_path, passes))
    assert not torch.equal(after.samples, before.samples)
    assert len(metrics["losses"]) == passes * plan.seeds
    assert (metrics["missing"], sorted(metrics["bytes"]["up"])) == ([], sorted(files))
    assert json.loads((folder / "metrics.json").read_text())["losses"] == metrics["losses"]
    (entry,) = json.loads((folder / "round.json").read_text())["history"]
    assert (entry["kind"], entry["client"], entry["passes"], entry["when"]) == ("add", "dee", passes, NOW)
    assert after.facts["changes"] == [entry]
    # The rest of the card is that of the round: its own settings, and who was named.
    assert {k: v for k, v in after.facts.items() if k != "changes"} == before.facts
    assert not {"change.json", "before.safetensors", "incoming.safetensors"} & {path.name for path in folder.iterdir()}


def test_the_aggregate_after_coming_and_going_is_that_of_a_round_without(
    sent: Sent, run: Callable[[str], Path], held: Mapping[str, Path]
) -> None:
    plan, files = sent
    folder = run("abc")
    add(folder, files["dee"], name="late")
    remove(folder, "bob")
    here, there = (list(collect(plan, home / "contributions").contributions.values()) for home in (folder, held["acd"]))
    ours, fresh = (aggregate(plan, contributions) for contributions in (here, there))
    assert np.array_equal(ours.values, fresh.values)
    assert np.array_equal(ours.weights, fresh.weights)
    assert ours.values.dtype == np.float64
    kinds = [(entry["kind"], entry["client"]) for entry in json.loads((folder / "round.json").read_text())["history"]]
    assert kinds == [("add", "dee"), ("remove", "bob")]
    # Left out is not forgotten: another set than that of a round without bob.
    assert not torch.equal(load(folder / "distilled").samples, load(held["acd"] / "distilled").samples)


def test_leaving_continues_from_the_present_set(sent: Sent, run: Callable[[str], Path], tmp_path: Path) -> None:
    plan, files = sent
    folder = run("abcd")
    before = load(folder / "distilled").samples
    remove(folder, "bob", passes=2)
    others = [content for name, content in files.items() if name != "bob"]
    assert torch.equal(load(folder / "distilled").samples, _continued(plan, before, others, tmp_path, 2))
    assert not (folder / "contributions" / contribution_name(plan, "bob")).exists()
    assert "bob" not in (folder / "contributions.sha256").read_text()


@pytest.mark.parametrize("route", ["at once", "left before", "came late", "damaged"])
def test_a_forgotten_site_was_never_there(
    route: str, sent: Sent, run: Callable[[str], Path], held: Mapping[str, Path]
) -> None:
    plan, files = sent
    folder = run("acd" if route == "came late" else "abcd")
    if route == "left before":
        remove(folder, "bob")
    if route == "came late":
        add(folder, files["bob"], name="late")
    stored = folder / "contributions" / contribution_name(plan, "bob")
    digest = hashlib.sha256(files["bob"]).hexdigest()
    if route == "damaged":
        stored.write_bytes(b"damaged")
    # What killed writers and evaluations may have left.
    (folder / "contributions" / ".1-bob.safetensors.0123.part").write_bytes(files["bob"])
    (folder / ".distilled.0123.old").mkdir()
    (folder / "networks.json").write_text("[]")
    (folder / "notes.txt").write_text("mine")
    forget(folder, "bob")
    assert _files(folder / "distilled") == _files(held["acd"] / "distilled")
    assert (folder / "loss.png").read_bytes() == (held["acd"] / "loss.png").read_bytes()
    assert (folder / "contributions.sha256").read_bytes() == (held["acd"] / "contributions.sha256").read_bytes()
    left = _files(folder)
    means = files["bob"][len(files["bob"]) // 2 :][:64]
    assert not [name for name, content in left.items() if means in content or digest.encode() in content]
    # The log of the round with the site is removed; a change writes none.
    expected = {*_files(held["acd"]), "notes.txt"} - {"events.jsonl"}
    assert set(left) == expected
    assert unknown_files(folder) == ["notes.txt"]
    (entry,) = json.loads(left["round.json"])["history"]
    assert entry == {"kind": "forget", "client": "bob", "when": NOW}


def test_a_change_after_forgetting_tells_only_of_itself(sent: Sent, run: Callable[[str], Path]) -> None:
    folder = run("abcd")
    forget(folder, "bob")
    remove(folder, "dee")
    told: Any = load(folder / "distilled").facts["changes"]
    assert [(entry["kind"], entry["client"]) for entry in told] == [("remove", "dee")]
    kinds = [entry["kind"] for entry in json.loads((folder / "round.json").read_text())["history"]]
    assert kinds == ["forget", "remove"]


class Kill(BaseException):
    """As `kill -9`: nothing is cleaned up but what `finally` does."""


STEPS = ("write_json", "write_atomically", "accept", "discard", "_purge", "write_change", "distill_round")
CHANGES: dict[str, Callable[[Path, Mapping[str, bytes]], Any]] = {
    "add": lambda folder, files: add(folder, files["dee"], name="late"),
    "remove": lambda folder, files: remove(folder, "bob"),
    "forget": lambda folder, files: forget(folder, "bob"),
}


@pytest.mark.parametrize(
    ("kind", "again", "first", "stride"),
    [
        *(pytest.param(kind, "the same command", 5, 12, id=f"{kind}, some") for kind in CHANGES),
        *(
            pytest.param(kind, again, 1, 1, id=f"{kind}, {again}", marks=pytest.mark.slow)
            for kind in CHANGES
            for again in ("the same command", "resume")
        ),
    ],
)
def test_a_change_that_is_killed_at_any_step_ends_right(
    kind: str,
    again: str,
    first: int,
    stride: int,
    sent: Sent,
    run: Callable[[str], Path],
    held: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files, start = sent[1], held["abc" if kind == "add" else "abcd"]
    whole = Path(shutil.copytree(start, tmp_path / "whole"))
    run("abc")
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    CHANGES[kind](whole, files)
    for step in count(first, stride):
        folder = Path(shutil.copytree(start, tmp_path / f"killed-{step}"))
        with monkeypatch.context() as patch:
            left = [step]

            def dying(name: str, module: Any, patch: pytest.MonkeyPatch = patch, left: list[int] = left) -> None:
                original = getattr(module, name)

                def call(*arguments: Any, **others: Any) -> Any:
                    left[0] -= 1
                    if left[0] == 0:
                        raise Kill
                    result = original(*arguments, **others)
                    left[0] -= 1
                    if left[0] == 0:
                        raise Kill
                    return result

                patch.setattr(module, name, call)

            for name in STEPS:
                dying(name, changes)
            for name in ("write_json", "write_atomically", "_finished"):
                dying(name, rounds)
            try:
                CHANGES[kind](folder, files)
            except Kill:
                pass
            else:
                assert step > 10
                break
        if again == "resume" and under_way(folder) is not None:
            carry_out(folder)
        elif again == "the same command" and not _done(folder, kind):
            CHANGES[kind](folder, files)
        # A kill before the change was under way leaves nothing to resume.
        ended = whole if again == "the same command" or _done(folder, kind) else start
        assert _files(folder / "distilled") == _files(ended / "distilled"), step
        assert _files(folder)["contributions.sha256"] == _files(ended)["contributions.sha256"]
        if ended is whole:
            assert set(_files(folder)) == set(_files(whole))


def _done(folder: Path, kind: str) -> bool:
    record = json.loads((folder / "round.json").read_text()) if (folder / "round.json").exists() else {}
    return under_way(folder) is None and any(entry["kind"] == kind for entry in record.get("history", ()))


def test_a_class_comes_with_a_late_client_and_goes_with_the_last(
    make_samples: Callable[..., Samples], sent: Sent, tmp_path: Path
) -> None:
    plan, files = sent
    folder = _held(plan, {k: files[k] for k in ("ada", "dee")}, tmp_path)
    alone = _held(plan, {"ada": files["ada"]}, tmp_path / "alone", Terms(min_clients=1, allow_missing=True))
    assert load(alone / "distilled").counts().tolist() == [2, 0, 2]
    metrics = add(alone, files["dee"], name="late")
    product = load(alone / "distilled")
    assert (metrics["missing_classes"], product.counts().tolist()) == ([], [2, 2, 2])
    with pytest.raises(DataError, match="classes that nobody holds: got class 1"):
        remove(folder, "dee", min_clients=1)
    metrics = remove(folder, "dee", min_clients=1, allow_missing=True)
    assert metrics["missing_classes"] == ["class 1"]
    assert load(folder / "distilled").counts().tolist() == [2, 0, 2]


def test_what_is_refused_changes_nothing(
    sent: Sent, run: Callable[[str], Path], tmp_path: Path, make_samples: Callable[..., Samples]
) -> None:
    plan, files = sent
    folder = run("abc")
    other = plan.model_copy(update={"seed": 99})
    foreign = encode_contribution(
        contribute(other, "dee", make_samples(HELD["dee"], plan.sample.shape), engine=EAGER), other
    )
    second = encode_contribution(
        contribute(plan, "ada", make_samples([1, 1, 1], plan.sample.shape), engine=EAGER), plan
    )
    before = _files(folder)
    refusals: list[tuple[type[CollabDMError], str, Callable[[], Any]]] = [
        (ContributionError, r"late: got the same file of client ada", lambda: add(folder, files["ada"], name="late")),
        (ContributionError, r"late: got a second contribution of cl", lambda: add(folder, second, name="late")),
        (ContributionError, r"late: got plan ", lambda: add(folder, foreign, name="late")),
        (
            ContributionError,
            r"late: got another kind of file, or a damaged one",
            lambda: add(folder, b"hello", name="late"),
        ),
        (QuorumError, r"got 4; expected at least 5", lambda: add(folder, files["dee"], name="late", min_clients=5)),
        (
            DataError,
            r"client: got eve; expected one that is in this round: ada, bob, cid",
            lambda: remove(folder, "eve"),
        ),
        (DataError, r"client: got dee; expected one that is in", lambda: forget(folder, "dee")),
        (QuorumError, r"got 2; expected at least 3", lambda: remove(folder, "bob", min_clients=3)),
        (QuorumError, r"got 2; expected at least 3", lambda: forget(folder, "bob", min_clients=3)),
        (RunFolderError, r"got no plan.json; expected the folder of a", lambda: remove(tmp_path / "nowhere", "bob")),
    ]
    for kind, message, ask in refusals:
        with pytest.raises(kind, match=message):
            ask()
        assert _files(folder) == before


def test_a_damaged_contribution_is_not_left_out_silently(sent: Sent, run: Callable[[str], Path]) -> None:
    plan, files = sent
    folder = run("abc")
    damaged = folder / "contributions" / contribution_name(plan, "cid")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    before = _files(folder)
    for ask in (
        lambda: add(folder, files["dee"], name="late"),
        lambda: remove(folder, "bob"),
        lambda: forget(folder, "ada"),
    ):
        with pytest.raises(ContributionError, match="got bytes damaged since they were stored"):
            ask()
    assert _files(folder) == before


def test_unfinished_and_simulated_runs_are_not_changed(sent: Sent, run: Callable[[str], Path]) -> None:
    folder = run("abc")
    kept = (folder / "metrics.json").read_text()
    (folder / "metrics.json").write_text(json.dumps(json.loads(kept) | {"partition": {}}))
    with pytest.raises(RunFolderError, match="got a simulation; expected a round that was held"):
        remove(folder, "bob")
    (folder / "metrics.json").unlink()
    with pytest.raises(RunFolderError, match=r"got no metrics.json yet; .*fix: .*--resume"):
        forget(folder, "bob")


def test_another_change_waits_for_the_one_under_way(
    sent: Sent, run: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run("abc")
    with monkeypatch.context() as patch:
        patch.setattr(changes, "distill_round", _killed)
        with pytest.raises(Kill):
            remove(folder, "bob")
    others = (lambda: remove(folder, "ada"), lambda: forget(folder, "bob"), lambda: remove(folder, "bob", passes=2))
    for ask in others:
        with pytest.raises(RunFolderError, match=r"got remove of bob that was interrupted; .*distill --resume --out"):
            ask()
    carry_out(folder)
    assert under_way(folder) is None


def _killed(*_: object, **__: object) -> None:
    raise Kill
