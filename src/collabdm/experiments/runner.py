"""Running an experiment's cells, one after the other, the most informative first.

Finished cells are skipped, and a killed run goes on inside the cell that it was in. A cell that fails is recorded and
does not stop the others. Several processes may run one folder's cells at once, on one machine or on several.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collabdm.engine import found_device
from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.budget import Budget, BudgetSpentError, Clock
from collabdm.experiments.claims import claimed
from collabdm.experiments.grid import Checked, Grid, checked, chosen_cells
from collabdm.experiments.presets import Scale
from collabdm.experiments.records import KEPT, RUNS, commit, opened, read_records
from collabdm.experiments.working import Work
from collabdm.progress import Event, Report, silent
from collabdm.storage.locks import door, is_locked, locked

__all__ = ["Outcome", "begun", "ended", "run_experiment"]

Records = Mapping[str, Mapping[str, Any]]
UNLIMITED = Budget()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of the cells asked for: how many are finished, which failed (name -> why), how many are left.

    `stopped`: the cell in which the budget was spent. `taken`: of those left, the ones that other processes are at.
    """

    finished: int
    failed: Mapping[str, str]
    left: int
    stopped: str | None = None
    taken: tuple[str, ...] = ()


def run_experiment(
    experiment: Experiment,
    scale: Scale,
    folder: Path,
    *,
    settings: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    budget: Budget = UNLIMITED,
    report: Report = silent,
) -> Outcome:
    """Run what is not finished of the cells whose names match a pattern of `only` (all by default), by rank.

    `settings` (`key=value`) go over the scale's, and stand in the notes; `data` says where data sets lie, by name.
    When the `budget` is spent it stops inside a cell, and goes on there the next time. Everything that can be wrong
    with settings is found before anything is computed. Other processes may do the same in the same folder: each cell is
    run by one of them, and cells that others are at are left to them.
    Raises `ConfigError` for settings or patterns that fit nothing; `RunFolderError` where the folder has other things,
    was begun with other settings or data, or something else is at work in it.
    """
    grid = Grid(experiment=experiment, scale=scale, folder=folder, settings=settings, data=dict(data or {}))
    found = checked(grid)
    chosen = chosen_cells(list(found.cells.values()), only)
    for device in sorted({config.device for config in found.configs.values()}):
        found_device(device)
    with locked(folder, shared=True):
        records = begun(grid, found)
        work = Work(grid=grid, checked=found, report=report, clock=Clock(folder, budget), commit=commit())
        outcome = _worked_off(work, chosen, records)
        ended(grid, found)
    return outcome


def begun(grid: Grid, found: Checked) -> dict[str, dict[str, Any]]:
    """Begin the folder, or go on in it; its records. Raises `RunFolderError` where it was begun otherwise."""
    with door(grid.folder):
        opened(grid.folder, found.facts)
        records = read_records(grid.folder, list(found.cells.values()))
    found.check_unchanged(grid.folder, records)
    # There for good: who lets go of a cell in which nothing was done removes the folders made for it.
    (grid.folder / RUNS).mkdir(exist_ok=True)
    return records


def ended(grid: Grid, found: Checked) -> None:
    """Remove what cells share, once every cell is finished."""
    with door(grid.folder):
        every = read_records(grid.folder, list(found.cells.values()))
    if len(every) == len(found.cells) and not any("failed" in record for record in every.values()):
        shutil.rmtree(grid.folder / KEPT, ignore_errors=True)


@dataclass
class _Tally:
    """How far this process has seen the chosen cells."""

    left: list[Cell]
    finished: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def note(self, cell: Cell, record: Mapping[str, Any]) -> None:
        if "failed" in record:
            self.failed[cell.name] = record["failed"]
        else:
            self.finished += 1
        self.left = [one for one in self.left if one.name != cell.name]

    def outcome(self, *, stopped: str | None = None) -> Outcome:
        taken = () if stopped else tuple(cell.name for cell in self.left)
        return Outcome(finished=self.finished, failed=self.failed, left=len(self.left), stopped=stopped, taken=taken)


def _worked_off(work: Work, chosen: Sequence[Cell], records: Records) -> Outcome:
    """Run the chosen cells that have no record of a finished one, until the budget is spent or others are at the rest.

    What failed before is tried again; what fails meanwhile, in another process, is not.
    """
    tally, place = _Tally(list(chosen)), {cell.name: number for number, cell in enumerate(chosen)}
    while True:
        with ExitStack() as holding:
            with door(work.grid.folder):
                _note_finished(work, tally, records)
                unfinished = [name for name in work.checked.cells if "failed" in records.get(name, {"failed": ""})]
                configs = work.checked.configs
                cell = claimed(work.grid.folder, tally.left, configs, holding, unfinished=unfinished)
            if cell is None:
                return tally.outcome()
            number = place[cell.name]
            message = f"cell {number + 1} of {len(chosen)}: {cell.name}"
            work.report(Event(stage="experiment", done=number, total=len(chosen), message=message))
            try:
                tally.note(cell, work.run(cell))
            except BudgetSpentError:
                return tally.outcome(stopped=cell.name)


def _note_finished(work: Work, tally: _Tally, records: Records) -> None:
    """What has a record by now; `records`: those of the beginning."""
    fresh = read_records(work.grid.folder, tally.left)
    for cell in list(tally.left):
        record = fresh.get(cell.name)
        if record is None or ("failed" in record and record == records.get(cell.name)):
            continue
        tally.note(cell, record)
        if "failed" not in record and not is_locked(work.grid.folder / RUNS / cell.name):
            work.tidy(cell)
