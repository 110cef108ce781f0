"""Cells as tasks of a cluster: the same records as here, and every end of a task is told."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collabdm.errors import ConfigError
from collabdm.experiments import Outcome, base, run_experiment
from collabdm.experiments.budget import Budget
from collabdm.experiments.cluster import spread
from collabdm.experiments.cluster.on_ray import on_ray
from collabdm.experiments.cluster.spread import resources, spread_experiment
from collabdm.experiments.cluster.task import Task, TaskEnd, died, run_task
from collabdm.experiments.grid import Grid
from collabdm.progress import Event, silent
from collabdm.storage.locks import locked
from experiments.tiny_experiment import EXPERIMENT, SCALE, records_in, registered, results_in

RANKED = ["digits-collabdm-pae", "digits-random-real", "digits-local-dm-pae"]
METRICS = {"accuracy": {"mean": 0.5, "std": 0.0, "macro_f1": {"mean": 0.5}, "networks": []}, "bytes": {"up": {}}}
# Another process knows nothing of a shorter recipe.
SHORT = replace(SCALE, settings=(*SCALE.settings, "evaluate.epochs=2"))


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


def grid(folder: Path) -> Grid:
    return Grid(experiment=EXPERIMENT, scale=SCALE, folder=folder)


def here(tasks: Sequence[Task], asked: Mapping[str, Any], report: object) -> Iterable[TaskEnd]:
    """An executor that is this process; the last task's process dies."""
    assert asked == {"num_cpus": 2}
    for task in tasks[:-1]:
        yield run_task(task)
    yield died(tasks[-1], RuntimeError("Traceback\nMemoryError: no room\nsee log"))


def test_every_cell_is_one_task_and_what_became_of_it_is_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, told = tmp_path / "out", list[Event]()
    monkeypatch.setattr(base, "simulate_on", lambda *_, **__: METRICS)
    monkeypatch.setitem(spread.EXECUTORS, "here", here)
    spread_with = {"asked": {"num_cpus": 2}, "report": told.append}
    outcome = spread_experiment(grid(folder), "here", **spread_with)
    why = "its process died: MemoryError: no room"
    assert outcome == Outcome(finished=2, failed={RANKED[2]: why}, left=0)
    assert [one.message for one in told] == [
        f"{RANKED[0]}: finished",
        f"{RANKED[1]}: finished",
        f"{RANKED[2]}: died: {why}",
    ]
    # It is not recorded as one that failed: it goes on the next time.
    assert sorted(records_in(folder)) == sorted(RANKED[:2])
    monkeypatch.setitem(spread.EXECUTORS, "here", lambda tasks, *_: map(run_task, tasks))
    assert spread_experiment(grid(folder), "here") == Outcome(finished=3, failed={}, left=0)
    assert run_experiment(EXPERIMENT, SCALE, folder) == Outcome(finished=3, failed={}, left=0)


def test_a_task_ends_by_the_deadline_and_leaves_to_others_what_they_are_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    monkeypatch.setitem(spread.EXECUTORS, "here", lambda tasks, *_: map(run_task, tasks))
    late = spread_experiment(grid(folder), "here", budget=Budget(seconds=0))
    assert late == Outcome(finished=0, failed={}, left=3, stopped=RANKED[0])
    assert run_task(Task(grid=grid(folder), cell=RANKED[0], deadline=time.time() - 5)).state == "stopped"
    with locked(folder / "runs" / RANKED[1]):
        outcome = spread_experiment(grid(folder), "here", only=[RANKED[1]])
    assert outcome == Outcome(finished=0, failed={}, left=1, taken=(RANKED[1],))


def test_a_task_of_other_settings_is_refused_in_words(tmp_path: Path) -> None:
    run_experiment(EXPERIMENT, SCALE, tmp_path / "out", budget=Budget(seconds=0))
    end = run_task(Task(grid=replace(grid(tmp_path / "out"), settings=["plan.seeds=4"]), cell=RANKED[0]))
    assert end.state == "refused"
    assert "with which it was begun" in end.why


def test_what_is_asked_of_a_cluster_is_checked(tmp_path: Path) -> None:
    assert resources(["num_cpus=2", "slurm_partition=long", "mem_gb=1.5"]) == {
        "num_cpus": 2,
        "slurm_partition": "long",
        "mem_gb": 1.5,
    }
    with pytest.raises(ConfigError, match="--resource: got cpus; expected KEY=VALUE"):
        resources(["cpus"])
    with pytest.raises(ConfigError, match="--executor: got dask; expected one of local, ray, slurm"):
        spread_experiment(grid(tmp_path / "out"), "dask")
    assert not (tmp_path / "out").exists()
    task = Task(grid=grid(tmp_path / "out"), cell=RANKED[0])
    for asked in ({"cpus": 1}, {"num_cpus": "many"}):
        with pytest.raises(ConfigError, match="expected a number as one of num_cpus, num_gpus, memory"):
            list(on_ray([task], asked, silent))


RAY = """
import sys; from pathlib import Path
from ray.cluster_utils import Cluster
import ray
from collabdm.experiments.cluster.spread import spread_experiment
from experiments.test_cluster import grid_in
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
told = lambda event: print(event.message, flush=True)
print(spread_experiment(grid_in(sys.argv[1]), "ray", asked={"num_cpus": 1}, report=told))
# Else the address stays in Ray's own folder, and every later `ray.init` of this machine looks for a cluster there.
ray.shutdown()
cluster.shutdown()
"""
SLURM = """
import sys
from collabdm.experiments.cluster.spread import spread_experiment
from experiments.test_cluster import grid_in
told = lambda event: print(event.message, flush=True)
print(spread_experiment(grid_in(sys.argv[1]), "slurm", asked={"cluster": "local"}, report=told))
"""


def grid_in(folder: str) -> Grid:
    return replace(grid(Path(folder)), scale=SHORT)


def in_another_process(script: str, folder: Path) -> list[str]:
    """What the script prints, with this one's modules and packages in it and in what it starts."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=540)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_ray_of_two_machines_leaves_the_same_records(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    lines = in_another_process(RAY, tmp_path / "ray")
    assert "3 cells for a Ray of 2 machines with 2 cores" in lines
    assert str(Outcome(finished=3, failed={}, left=0)) in lines
    run_experiment(EXPERIMENT, SHORT, tmp_path / "here")
    assert results_in(tmp_path / "ray") == results_in(tmp_path / "here")
    assert not (tmp_path / "ray" / "kept").exists()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="the extra slurm is not installed")
def test_jobs_of_submitit_leave_the_same_records_and_no_output_of_theirs(tmp_path: Path) -> None:
    lines = in_another_process(SLURM, tmp_path / "jobs")
    assert lines[-1] == str(Outcome(finished=3, failed={}, left=0))
    run_experiment(EXPERIMENT, SHORT, tmp_path / "here")
    assert results_in(tmp_path / "jobs") == results_in(tmp_path / "here")
    assert not (tmp_path / "jobs" / "jobs").exists()
