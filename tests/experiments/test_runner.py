"""Running cells: by rank, once, the same however often they are interrupted; failures kept apart."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from collabdm.errors import ConfigError, RunFolderError
from collabdm.experiments import Cell, Experiment, Outcome, base, run_experiment
from collabdm.experiments.budget import Budget
from collabdm.experiments.records import commit
from collabdm.progress import Event
from collabdm.storage.locks import locked
from experiments.tiny_experiment import EXPERIMENT, SCALE, cells, records_in, registered, results_in
from tiny_runs import write_sites


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(scope="module")
def whole(_registered: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert run_experiment(EXPERIMENT, SCALE, folder) == Outcome(finished=3, failed={}, left=0)
    return folder


def test_a_record_holds_what_was_promised(whole: Path) -> None:
    records = records_in(whole)
    assert set(records) == {cell.name for cell in cells(SCALE)}
    record = records["digits-collabdm-pae"]
    promised = (
        "cell experiment preset rank paper paper_source note digest commit config hardware versions seconds bytes"
    )
    assert set(promised.split()) | {"accuracy", "product", "networks", "partition", "rounds"} <= set(record)
    metrics = json.loads((whole / "runs" / "digits-collabdm-pae" / "metrics.json").read_text())
    assert record["accuracy"] == metrics["accuracy"]
    assert record["bytes"] == metrics["bytes"]
    assert (record["paper"], record["rank"], record["preset"]) == (90.0, 0, "tiny")
    assert record["config"]["method"] == "collabdm-pae"
    assert record["commit"] == commit()
    assert "losses" not in record


@pytest.mark.parametrize(
    ("settings", "paper", "note"),
    [
        ((), 90.0, ""),
        (("plan.batch=6", "evaluate.count=1"), 90.0, "with plan.batch=6, evaluate.count=1"),
        (("partition.clients=2",), None, "other partition than the paper's: not comparable with the paper; with part"),
        (("ipc=1",), None, "other ipc than the paper's: not comparable"),
        (("evaluate.networks=alexnet",), None, "other evaluate.networks than the paper's: not comparable"),
    ],
)
def test_the_papers_figure_stands_beside_the_papers_problem_alone(
    settings: tuple[str, ...], paper: float | None, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {"accuracy": {"mean": 0.5, "std": 0.0, "macro_f1": {"mean": 0.5}, "networks": []}, "bytes": {"up": {}}}
    monkeypatch.setattr(base, "simulate_on", lambda *_, **__: metrics)
    run_experiment(EXPERIMENT, SCALE, tmp_path / "out", settings=settings, only=["*collabdm*"])
    record = records_in(tmp_path / "out")["digits-collabdm-pae"]
    assert (record["paper"], record["paper_source"]) == (paper, "Table 2" if paper else "")
    assert record["note"].startswith(note)
    assert bool(record["note"]) == bool(settings)


def test_a_finished_experiment_keeps_sets_but_not_what_clients_sent(whole: Path) -> None:
    assert (whole / "runs" / "digits-local-dm-pae" / "distilled").is_dir()
    assert not list(whole.rglob("contributions"))
    assert not (whole / "kept").exists()


def test_the_most_informative_come_first_and_finished_ones_are_skipped(whole: Path) -> None:
    told: list[Event] = []
    folder = whole.parent / "again"
    run_experiment(EXPERIMENT, SCALE, folder, only=["*-real", "digits-coll*"], report=told.append)
    begun = [event.message for event in told if event.stage == "experiment"]
    assert begun == ["cell 1 of 2: digits-collabdm-pae", "cell 2 of 2: digits-random-real"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json") if path.parent.name == "cells"}
    told.clear()
    assert run_experiment(EXPERIMENT, SCALE, folder, report=told.append).finished == 3
    assert [e.message for e in told if e.stage == "experiment"] == ["cell 3 of 3: digits-local-dm-pae"]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert results_in(folder) == results_in(whole)


def test_stages_are_shared_between_cells(tmp_path: Path) -> None:
    told: list[Event] = []
    run_experiment(EXPERIMENT, SCALE, tmp_path / "out", only=["digits-l*", "digits-c*"], report=told.append)
    # Three clients of three seeds, once for both methods.
    assert sum(event.stage == "statistics" for event in told) == 9


class _Ticks:
    """A clock that goes on by one whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        self.now += 1
        return float(self.now)


def test_a_budget_stops_inside_a_cell_and_the_result_is_that_of_a_whole_run(whole: Path, tmp_path: Path) -> None:
    folder, stops, outcome = tmp_path / "out", [], None
    for _ in range(20):
        outcome = run_experiment(EXPERIMENT, SCALE, folder, budget=Budget(seconds=30, now=_Ticks()))
        stops.append(outcome.stopped)
        assert outcome.finished + outcome.left == 3
        if not outcome.left:
            break
    assert outcome == Outcome(finished=3, failed={}, left=0)
    assert stops[0] == "digits-collabdm-pae"
    assert len(stops) > 2
    assert results_in(folder) == results_in(whole)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_result(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = (
        "import sys; from pathlib import Path\n"
        "from experiments.tiny_experiment import EXPERIMENT, SCALE, registered\n"
        "from collabdm.experiments import run_experiment\n"
        "with registered(): run_experiment(EXPERIMENT, SCALE, Path(sys.argv[1]))"
    )
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", command, str(folder)], env=os.environ | threads)
    place = folder / "runs" / "digits-collabdm-pae" / "contributions"
    try:
        until = time.monotonic() + 120
        while not (place.is_dir() and any(place.glob("*.safetensors"))):
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not records_in(folder)
    run_experiment(EXPERIMENT, SCALE, folder)
    assert results_in(folder) == results_in(whole)


def _with_bad_cells(experiment: Experiment) -> Experiment:
    """Also a cell whose data cannot be had, one that asks for more images than there are, and one whose split fails."""
    good = cells(SCALE)[2]
    bad = (
        Cell(name="absent", options=dict(good.options) | {"dataset": "./absent"}, rank=-3),
        Cell(name="absent-too", options=dict(good.options) | {"dataset": "./absent", "ipc": 1}, rank=-2),
        Cell(name="greedy", options=dict(good.options) | {"ipc": 500}, rank=-1),
    )
    return replace(experiment, cells=lambda scale: (*bad, good))


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    experiment, folder = _with_bad_cells(EXPERIMENT), tmp_path / "out"
    outcome = run_experiment(experiment, SCALE, folder)
    assert (outcome.finished, outcome.left, set(outcome.failed)) == (1, 0, {"absent", "absent-too", "greedy"})
    records = records_in(folder)
    assert "data set ./absent: got no such file" in records["absent"]["failed"]
    assert "at least 500 of every class" in records["greedy"]["failed"]
    assert "failed" not in records["digits-random-real"]
    table = experiment.table(list(records.values()))
    assert table.count("| failed |") == 3
    # A failed cell is tried again, and kept stay as long as one is not finished.
    assert set(run_experiment(experiment, SCALE, folder, only=["absent"]).failed) == {"absent"}


def test_a_folder_of_other_settings_is_refused_before_anything_is_done(whole: Path, tmp_path: Path) -> None:
    for changed in ({"settings": ["plan.seeds=4"]}, {"scale": replace(SCALE, name="other")}):
        with pytest.raises(RunFolderError, match="with which it was begun"):
            run_experiment(EXPERIMENT, folder=whole, **({"scale": SCALE} | changed))  # type: ignore[arg-type]
    other = replace(SCALE, settings=(*SCALE.settings, "plan.seeds=4"))
    with pytest.raises(RunFolderError, match="other settings; expected those it was run with"):
        run_experiment(EXPERIMENT, other, whole)
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(RunFolderError, match="other content"):
        run_experiment(EXPERIMENT, SCALE, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_other_data_of_the_same_name_are_refused(tmp_path: Path) -> None:
    folder, cell = tmp_path / "out", replace(cells(SCALE)[2], options={"dataset": "sites", "method": "random-real"})
    second = replace(cell, name="second", options=dict(cell.options) | {"ipc": 1})
    experiment = replace(EXPERIMENT, cells=lambda scale: (cell, second))
    for name, shift in (("a", 0), ("b", 1)):
        write_sites(tmp_path / f"{name}.npz", y_train=(np.arange(36) // 12 + shift) % 3)
    first, other = ({"sites": str(tmp_path / f"{name}.npz")} for name in "ab")
    run_experiment(experiment, SCALE, folder, data=first, only=["digits*"])
    digest = records_in(folder)["digits-random-real"]["data"]
    assert json.loads((folder / "data.json").read_text()) == {"sites": digest}
    with pytest.raises(RunFolderError, match=r"data of sites: got SHA-256 \w{12}; expected \w{12}, with which"):
        run_experiment(experiment, SCALE, folder, data=other)
    # Records alone say it too; and the cell has not become one that failed.
    (folder / "data.json").unlink()
    with pytest.raises(RunFolderError, match="data of sites"):
        run_experiment(experiment, SCALE, folder, data=other)
    assert set(records_in(folder)) == {"digits-random-real"}
    # A record of an earlier version does not know.
    path = folder / "cells" / "digits-random-real.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "data"}))
    assert run_experiment(experiment, SCALE, folder, data=first).finished == 2


def test_a_folder_that_something_else_is_at_work_in_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with locked(folder), pytest.raises(RunFolderError, match="another run at work there"):
        run_experiment(EXPERIMENT, SCALE, folder)
    assert not (folder / "cells").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="a file"):
        run_experiment(EXPERIMENT, SCALE, tmp_path / "file")


def test_settings_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(ConfigError, match="no factor of the experiment's grid"):
        run_experiment(EXPERIMENT, SCALE, folder, settings=["method=fedd3"])
    with pytest.raises(ConfigError, match="an unknown key"):
        run_experiment(EXPERIMENT, SCALE, folder, settings=["plan.seed=3"])
    with pytest.raises(ConfigError, match="--only: got nothing"):
        run_experiment(EXPERIMENT, SCALE, folder, only=["nothing*"])
    with pytest.raises(ConfigError, match="--data: got svhn; expected one of digits"):
        run_experiment(EXPERIMENT, SCALE, folder, data={"svhn": "here"})
    assert not folder.exists()


def test_a_broken_record_is_told(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run_experiment(EXPERIMENT, SCALE, folder, only=["*random*"])
    (folder / "cells" / "digits-random-real.json").write_text("{")
    with pytest.raises(RunFolderError, match="expected a cell's record"):
        run_experiment(EXPERIMENT, SCALE, folder)
    (folder / "experiment.json").write_text("[]")
    with pytest.raises(RunFolderError, match="expected what an experiment was begun with"):
        run_experiment(EXPERIMENT, SCALE, folder)


def test_a_damaged_run_fails_its_own_cell(whole: Path, tmp_path: Path) -> None:
    folder, cell, told = tmp_path / "out", "digits-collabdm-pae", ""
    shutil.copytree(whole, folder)
    for content, got in (
        ("{", "metrics.json: got no JSON (Expecting"),
        ("{}", "metrics.json: got no bytes"),
    ):
        (folder / "cells" / f"{cell}.json").unlink()
        (folder / "runs" / cell / "metrics.json").write_text(content)
        for _ in range(2):
            outcome = run_experiment(EXPERIMENT, SCALE, folder)
            assert (outcome.finished, set(outcome.failed)) == (2, {cell})
            told = outcome.failed[cell]
            assert got in told
    # What the advice says helps.
    assert f"{folder / 'runs' / cell / 'metrics.json'}: " in told
    assert "remove the folder that it is in and run it again" in told
    shutil.rmtree(folder / "runs" / cell)
    assert run_experiment(EXPERIMENT, SCALE, folder).finished == 3
    assert results_in(folder) == results_in(whole)


def test_what_a_kill_left_of_a_finished_cell_is_tidied(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    (folder / "runs" / "digits-collabdm-pae" / "contributions").mkdir()
    run_experiment(EXPERIMENT, SCALE, folder)
    assert not list(folder.rglob("contributions"))


def test_a_device_that_is_not_there_is_no_cells_failure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device: got tpu"):
        run_experiment(EXPERIMENT, SCALE, tmp_path / "out", settings=["device=tpu"])
    assert not (tmp_path / "out").exists()


def test_data_given_and_not_given_are_told_by_the_option(tmp_path: Path) -> None:
    write_sites(tmp_path / "sites.npz")
    given, scale = {"digits": str(tmp_path / "sites.npz")}, replace(SCALE, stand_in="digits")
    for first, then, fix in ((given, {}, "give --data digits=PATH"), ({}, given, r"leave out --data digits=\.\.\.")):
        folder = tmp_path / f"{len(first)}"
        run_experiment(EXPERIMENT, scale, folder, data=first, budget=Budget(seconds=0))
        with pytest.raises(RunFolderError, match=f"stand_ins: got .*; fix: {fix}, or choose another --out"):
            run_experiment(EXPERIMENT, scale, folder, data=then)
