"""Cells as jobs of Slurm, through submitit: one array of jobs, one cell each."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from collabdm.errors import ConfigError, explain
from collabdm.experiments.cluster.task import Task, TaskEnd, died, run_task
from collabdm.progress import Event, Report

__all__ = ["on_slurm"]

# submitit's own default is five minutes.
USUAL = {"timeout_min": 24 * 60, "name": "collabdm"}
SECONDS_BETWEEN_LOOKS = 5.0


def on_slurm(tasks: Sequence[Task], asked: Mapping[str, Any], report: Report) -> Iterator[TaskEnd]:
    """Submit the tasks and wait for them; `asked`: submitit's parameters (`timeout_min`, `cpus_per_task`,
    `slurm_partition`, ...), and `cluster=local` for processes on this machine.

    What the jobs write goes to `jobs/` in the experiment's folder, which stays where one died. Jobs are cancelled where
    this process is interrupted; where it is killed they go on. Raises `ConfigError`.
    """
    submitit, options = _submitit(), USUAL | dict(asked)
    logs = tasks[0].grid.folder / "jobs"
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=options.pop("cluster", "slurm"))
        executor.update_parameters(**options)
        with executor.batch():
            jobs = [executor.submit(run_task, task) for task in tasks]
    except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
        raise _refused(error) from None
    except submitit.core.utils.FailedJobError as error:
        raise _refused(error) from None
    message = f"{len(jobs)} cells as jobs, whose output is in {logs}"
    report(Event(stage="experiment", done=0, total=len(jobs), message=message))
    whole, by_job = True, dict(zip((job.job_id for job in jobs), tasks, strict=True))
    try:
        for job in import_module("submitit.helpers").as_completed(jobs, poll_frequency=SECONDS_BETWEEN_LOOKS):
            try:
                yield job.result()
            except Exception as error:  # whatever the job's process raised, or why it ended
                whole = False
                yield died(by_job[job.job_id], error)
    except BaseException:
        for job in jobs:
            job.cancel(check=False)
        raise
    if whole:
        shutil.rmtree(logs, ignore_errors=True)


def _submitit() -> Any:
    try:
        return import_module("submitit")
    except ImportError:
        fix = "pip install 'collabdm[slurm]'"
        raise ConfigError(explain("--executor slurm", got="no package submitit", expected="it", fix=fix)) from None


def _refused(error: Exception) -> ConfigError:
    got = f"{type(error).__name__}: {' '.join(str(error).split())}"
    expected = "a cluster of Slurm that takes the jobs, and parameters that submitit knows"
    return ConfigError(explain("--executor slurm", got=got, expected=expected, fix="check --resource, and `sinfo`"))
