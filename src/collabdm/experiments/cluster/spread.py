"""Handing an experiment's cells out to a cluster, each as one task, and counting what becomes of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from collabdm.errors import ConfigError, explain, unknown_name
from collabdm.experiments.base import Cell
from collabdm.experiments.budget import Budget
from collabdm.experiments.cluster.task import Shell, Task, TaskEnd
from collabdm.experiments.grid import Grid, checked, chosen_cells
from collabdm.experiments.runner import UNLIMITED, Outcome, begun
from collabdm.progress import Event, Report, silent
from collabdm.registry import resolved_entry
from collabdm.storage.locks import locked

__all__ = ["EXECUTORS", "resources", "spread_experiment"]

EXECUTORS: dict[str, str | Shell] = {
    "ray": "collabdm.experiments.cluster.on_ray:on_ray",
    "slurm": "collabdm.experiments.cluster.on_slurm:on_slurm",
}
"""What can run cells elsewhere, by the name that `--executor` gives it."""


def spread_experiment(
    grid: Grid,
    executor: str,
    *,
    asked: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    budget: Budget = UNLIMITED,
    report: Report = silent,
) -> Outcome:
    """`run_experiment` with each cell as a task of an executor, one of `EXECUTORS`; the records are the same.

    The grid's folder must be the same on all machines, and CollabDM the same version. `asked`: what a task gets of the
    cluster, in the executor's own words. Cells whose process died are told as failed and are not recorded: they are
    gone on with the next time. The `budget` begins now, also for tasks that wait in a queue.
    Raises `ConfigError` for an executor that is not there or an `asked` that it does not know, and what
    `run_experiment` raises.
    """
    shell = _shell(executor)
    grid = replace(grid, folder=grid.folder.absolute(), data={name: _found(at) for name, at in grid.data.items()})
    found = checked(grid)
    chosen = chosen_cells(list(found.cells.values()), only)
    deadline = None if budget.seconds is None else time.time() + budget.seconds
    with locked(grid.folder, shared=True):
        records = begun(grid, found)
        done = [cell for cell in chosen if "failed" not in records.get(cell.name, {"failed": ""})]
        tally = _Tally(total=len(chosen), finished=len(done), left=[cell for cell in chosen if cell not in done])
        tasks = [Task(grid=grid, cell=cell.name, deadline=deadline) for cell in tally.left]
        for end in shell(tasks, asked or {}, report) if tasks else ():
            tally.note(end, report)
    return tally.outcome()


def resources(texts: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` as what a task is to get; a number is one. Raises `ConfigError`."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            expected = "KEY=VALUE, such as num_cpus=4 (ray) or cpus_per_task=4 (slurm)"
            raise ConfigError(explain("--resource", got=text[:200], expected=expected, fix="give it so"))
        found[key] = _number(value)
    return found


@dataclass
class _Tally:
    total: int
    finished: int
    left: list[Cell]
    failed: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def note(self, end: TaskEnd, report: Report) -> None:
        """Count it, and say it."""
        self.left = [cell for cell in self.left if cell.name != end.cell]
        self.finished += end.state == "finished"
        if end.state in ("failed", "died", "refused"):
            self.failed[end.cell] = end.why
        elif end.state in ("stopped", "taken"):
            (self.stopped if end.state == "stopped" else self.taken).append(end.cell)
        for line in (*end.lines, end.state + (f": {end.why}" if end.why else "")):
            message = f"{end.cell}: {line}"
            report(Event(stage="experiment", done=self.total - len(self.left), total=self.total, message=message))

    def outcome(self) -> Outcome:
        left = len(self.left) + len(self.stopped) + len(self.taken)
        stopped = self.stopped[0] if self.stopped else None
        taken = tuple(self.taken)
        return Outcome(finished=self.finished, failed=self.failed, left=left, stopped=stopped, taken=taken)


def _shell(executor: str) -> Shell:
    if executor not in EXECUTORS:
        raise ConfigError(unknown_name("--executor", executor, ["local", *EXECUTORS]))
    return resolved_entry(EXECUTORS[executor])


def _found(place: str) -> str:
    """A path as every working directory understands it; what is no path here is a name."""
    path = Path(place)
    return str(path.absolute()) if path.exists() else place


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
