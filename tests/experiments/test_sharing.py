"""Several processes on one experiment's folder: a cell each, the same records, and nobody waits for a cell."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collabdm.errors import RunFolderError
from collabdm.experiments import Outcome, base, run_experiment
from collabdm.experiments.base import config_of
from collabdm.experiments.budget import Budget
from collabdm.experiments.claims import family_of
from collabdm.experiments.records import write_record
from collabdm.progress import Event
from collabdm.storage.lock_files import alone_at
from collabdm.storage.locks import locked
from experiments.tiny_experiment import EXPERIMENT, SCALE, cells, records_in, registered, results_in

RANKED = ["digits-collabdm-pae", "digits-random-real", "digits-local-dm-pae"]
COMMAND = """
import sys; from pathlib import Path
from experiments.tiny_experiment import EXPERIMENT, SCALE, registered
from collabdm.experiments import run_experiment
told = lambda event: event.message and print(event.message, flush=True)
with registered():
    print("ready", flush=True)
    sys.stdin.readline()
    outcome = run_experiment(EXPERIMENT, SCALE, Path(sys.argv[1]), report=told)
print(outcome)
"""
METRICS = {"accuracy": {"mean": 0.5, "std": 0.0, "macro_f1": {"mean": 0.5}, "networks": []}, "bytes": {"up": {}}}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that were run, each in no time."""
    run: list[str] = []
    monkeypatch.setattr(base, "simulate_on", lambda data, config, folder, **_: run.append(folder.name) or METRICS)
    return run


def begun(folder: Path) -> Path:
    """The folder, with no cell done."""
    assert run_experiment(EXPERIMENT, SCALE, folder, budget=Budget(seconds=0)).left == 3
    return folder


@pytest.mark.slow
def test_two_processes_leave_what_one_leaves(tmp_path: Path) -> None:
    assert run_experiment(EXPERIMENT, SCALE, tmp_path / "one").finished == 3
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(tmp_path / "two")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    told = [process.communicate("go\n", timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    begun = [line.split(": ")[1] for text in told for line in text.splitlines() if line.startswith("cell ")]
    assert sorted(begun) == sorted(RANKED), "a cell was run twice, or not at all"
    assert results_in(tmp_path / "two") == results_in(tmp_path / "one")
    sets = ("runs/digits-collabdm-pae/distilled/distilled.safetensors", "runs/digits-local-dm-pae/distilled/README.md")
    for name in sets:
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert set(json.loads((tmp_path / "two" / "spent.json").read_text())) == set(RANKED)
    # No lock, no half-written file, nothing shared is left behind.
    names = [sorted(path.name for path in (tmp_path / which).iterdir()) for which in ("one", "two")]
    assert names[0] == names[1]
    assert not list((tmp_path / "two").rglob(".*"))


def test_a_cell_that_another_process_is_at_is_left_to_it(tmp_path: Path, instant: list[str]) -> None:
    folder, at = begun(tmp_path / "out"), RANKED[0]
    with locked(folder, shared=True), locked(folder / "runs" / at):
        outcome = run_experiment(EXPERIMENT, SCALE, folder)
        assert outcome == Outcome(finished=2, failed={}, left=1, taken=(at,))
        assert run_experiment(EXPERIMENT, SCALE, folder) == Outcome(finished=2, failed={}, left=1, taken=(at,))
    assert instant == RANKED[1:]
    # The other was killed, and its lock with it.
    assert run_experiment(EXPERIMENT, SCALE, folder).finished == 3
    assert instant == [*RANKED[1:], at]


def test_a_cell_that_shares_no_results_with_one_under_way_comes_first(tmp_path: Path, instant: list[str]) -> None:
    folder, at, other = begun(tmp_path / "out"), "digits-collabdm-pae", "digits-random-real"
    configs = {cell.name: config_of(cell, SCALE) for cell in cells(SCALE)}
    assert family_of(configs[at]) == family_of(configs["digits-local-dm-pae"]) != family_of(configs[other])
    ranks = {at: 0, "digits-local-dm-pae": 1, other: 2}
    ranked = replace(EXPERIMENT, cells=lambda _: tuple(replace(one, rank=ranks[one.name]) for one in cells(SCALE)))
    with locked(folder / "runs" / at):
        run_experiment(ranked, SCALE, folder)
    assert instant == [other, "digits-local-dm-pae"]


def test_what_another_process_finished_or_failed_meanwhile_is_counted_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, source = tmp_path / "out", tmp_path / "source"
    run: list[str] = []

    def first(data: object, config: object, place: Path, **_: object) -> dict[str, object]:
        run.append(place.name)
        if place.parent.parent == folder:
            write_record(folder, records_in(source)[RANKED[1]])
            write_record(folder, {**records_in(source)[RANKED[2]], "failed": "no room", "spent": 1.5})
        return METRICS

    monkeypatch.setattr(base, "simulate_on", first)
    run_experiment(EXPERIMENT, SCALE, source)
    run.clear()
    outcome = run_experiment(EXPERIMENT, SCALE, folder)
    assert run == RANKED[:1]
    assert outcome == Outcome(finished=2, failed={RANKED[2]: "no room"}, left=0)
    # It failed before this run began: it is tried again.
    assert run_experiment(EXPERIMENT, SCALE, folder).finished == 3


def test_seconds_that_others_noted_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, ticks = tmp_path / "out", iter(range(10_000))

    def noted(*_: object, **__: object) -> dict[str, object]:
        spent = json.loads(path.read_text()) if (path := folder / "spent.json").exists() else {}
        path.write_text(json.dumps(spent | {RANKED[2]: 7.0}))
        return METRICS

    monkeypatch.setattr(base, "simulate_on", noted)
    run_experiment(EXPERIMENT, SCALE, folder, only=RANKED[:2], budget=Budget(now=lambda: float(next(ticks))))
    assert json.loads((folder / "spent.json").read_text()) == {RANKED[0]: 1.0, RANKED[1]: 1.0, RANKED[2]: 7.0}


def test_a_result_that_another_process_computes_is_waited_for_within_the_budget(tmp_path: Path) -> None:
    folder, told = tmp_path / "out", list[Event]()
    run_experiment(EXPERIMENT, SCALE, folder, only=RANKED[:1])
    local = min((folder / "kept").glob("local-*.safetensors"))
    local.unlink()
    with alone_at(local.with_suffix(".lock")):
        short = Budget(seconds=1)
        outcome = run_experiment(EXPERIMENT, SCALE, folder, only=RANKED[2:], budget=short, report=told.append)
    assert outcome.stopped == RANKED[2]
    assert [one.message for one in told if one.stage == "wait" and one.message] == [
        "another process is computing the same local: its result is waited for"
    ]
    assert run_experiment(EXPERIMENT, SCALE, folder, only=RANKED[2:]).finished == 1


def test_a_run_of_other_settings_at_the_same_time_is_refused(tmp_path: Path) -> None:
    folder = begun(tmp_path / "out")
    with locked(folder, shared=True), pytest.raises(RunFolderError, match="with which it was begun"):
        run_experiment(EXPERIMENT, SCALE, folder, settings=["plan.seeds=4"])
