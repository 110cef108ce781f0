"""A cell as a task for a cluster: the same cell function as everywhere, in the experiment's folder that all machines
see."""

import glob
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collabdm.engine import tune_allocator
from collabdm.errors import CollabDMError
from collabdm.experiments.budget import Budget
from collabdm.experiments.grid import Grid
from collabdm.experiments.runner import run_experiment
from collabdm.progress import Event, Report

__all__ = ["Shell", "Task", "TaskEnd", "died", "run_task"]

# Of what one cell says, so many lines reach the process that hands the cells out.
_MOST_LINES = 50
_ERROR = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)\b")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A cell of a grid; `deadline`: when the budget is spent, in seconds since 1970."""

    grid: Grid
    cell: str
    deadline: float | None = None


@dataclass(frozen=True, kw_only=True)
class TaskEnd:
    """What became of a task's cell: `finished`, `failed` and recorded, `stopped` by the budget, `taken` by another
    process, `died` with its process, or `refused`. `why`: of what failed, died or was refused; `lines`: what was told.
    """

    cell: str
    state: str
    why: str = ""
    lines: tuple[str, ...] = ()


Shell = Callable[[Sequence[Task], Mapping[str, Any], Report], Iterable[TaskEnd]]
"""Runs `run_task` of every task on a cluster, with the resources asked for, and gives the ends as they come."""


def run_task(task: Task) -> TaskEnd:
    """Run one cell in this process, which is some machine's of a cluster."""
    tune_allocator()
    grid, lines = task.grid, list[str]()

    def tell(event: Event) -> None:
        if event.message is not None and event.stage != "experiment" and len(lines) < _MOST_LINES:
            lines.append(f"{event.stage}: {event.message}")

    left = None if task.deadline is None else max(task.deadline - time.time(), 0.0)
    try:
        outcome = run_experiment(
            grid.experiment,
            grid.scale,
            grid.folder,
            settings=grid.settings,
            data=grid.data,
            only=[glob.escape(task.cell)],
            budget=Budget(seconds=left),
            report=tell,
        )
    except CollabDMError as error:
        return TaskEnd(cell=task.cell, state="refused", why=str(error), lines=tuple(lines))
    why = outcome.failed.get(task.cell, "")
    states = {"failed": why, "stopped": outcome.stopped, "taken": outcome.taken, "finished": outcome.finished}
    return TaskEnd(cell=task.cell, state=next(name for name, so in states.items() if so), why=why, lines=tuple(lines))


def died(task: Task, error: BaseException) -> TaskEnd:
    """The end of a task whose process ended before its cell did: nothing is recorded, and the cell can go on."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # Of a traceback the line that says what went wrong; what follows it is about log files.
    telling = [line for line in lines if _ERROR.match(line)]
    return TaskEnd(
        cell=task.cell, state="died", why=f"its process died: {(telling or lines)[-1 if telling else 0][:300]}"
    )
