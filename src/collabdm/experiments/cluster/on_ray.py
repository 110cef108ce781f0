"""Cells as tasks of Ray: on the cluster that this machine belongs to (`ray start`), else on this machine alone."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from collabdm.errors import ConfigError, explain
from collabdm.experiments.cluster.task import Task, TaskEnd, died, run_task
from collabdm.progress import Event, Report

__all__ = ["on_ray"]

# What Ray calls the share of a machine that a task gets.
KNOWN = ("num_cpus", "num_gpus", "memory")


def on_ray(tasks: Sequence[Task], asked: Mapping[str, Any], report: Report) -> Iterator[TaskEnd]:
    """Run the tasks; `asked`: `num_cpus` (1 by default), `num_gpus` or `memory` (bytes) of each.

    A task whose machine goes away is begun once more elsewhere, where it goes on. Raises `ConfigError`.
    """
    for key, value in asked.items():
        if key not in KNOWN or isinstance(value, str):
            expected = f"a number as one of {', '.join(KNOWN)}"
            raise ConfigError(explain("--resource", got=f"{key}={value}", expected=expected, fix="check the name"))
    ray = _ray()
    own = not ray.is_initialized()
    if own:
        _connect(ray)
    try:
        total, nodes = ray.cluster_resources(), [one for one in ray.nodes() if one["Alive"]]
        message = f"{len(tasks)} cells for a Ray of {len(nodes)} machines with {total.get('CPU', 0):g} cores"
        report(Event(stage="experiment", done=0, total=len(tasks), message=message))
        _check_room(asked, nodes)
        remote = ray.remote(run_task).options(**{"num_cpus": 1, "max_retries": 1} | dict(asked))
        waiting = {remote.remote(task): task for task in tasks}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            for one in ready:
                task = waiting.pop(one)
                try:
                    yield ray.get(one)
                except ray.exceptions.RayError as error:
                    yield died(task, error)
    finally:
        if own:
            ray.shutdown()


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError:
        fix = "pip install 'collabdm[ray]' on every machine"
        raise ConfigError(explain("--executor ray", got="no package ray", expected="Ray", fix=fix)) from None


def _connect(ray: Any) -> None:
    try:
        ray.init(log_to_driver=False, logging_level="error", configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        got, fix = str(error).strip().splitlines()[0], "check `ray status`, or RAY_ADDRESS where it is set"
        raise ConfigError(explain("--executor ray", got=got, expected="a Ray that answers", fix=fix)) from None


def _check_room(asked: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> None:
    """Ray waits for ever for what no machine has."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    for key, value in asked.items():
        most = max((one["Resources"].get(names[key], 0) for one in nodes), default=0)
        if value > most:
            expected = f"at most {most:g}, which is what the largest machine has"
            raise ConfigError(explain("--resource", got=f"{key}={value}", expected=expected, fix="ask for less"))
