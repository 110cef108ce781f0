"""Time: what each cell took, and when to stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collabdm.experiments.records import read_spent, write_spent
from collabdm.storage.locks import door

__all__ = ["Budget", "BudgetSpentError", "Clock"]

SECONDS_BETWEEN_NOTES = 20.0


class BudgetSpentError(Exception):
    """Raised out of a cell by what it reports: everything it has checkpointed is kept."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`seconds` from the beginning of the work, None for as long as it takes; `now`: any clock that goes forward."""

    seconds: float | None = None
    now: Callable[[], float] = time.monotonic


class Clock:
    """Seconds of work per cell, kept on disk for all processes in the folder, and the budget of this one."""

    def __init__(self, folder: Path, budget: Budget) -> None:
        """The budget's time begins."""
        self._folder, self._now = folder, budget.now
        read_spent(folder)  # a damaged file is told before any work
        self._end = None if budget.seconds is None else budget.now() + budget.seconds
        self._cell, self._since, self._noted = "", 0.0, 0.0

    def enter(self, cell: str) -> None:
        """Work on a cell begins. Raises `BudgetSpentError`."""
        self._check()
        self._cell, self._since = cell, self._now()
        self._noted = self._since

    def look(self) -> None:
        """Note the time now and then. Raises `BudgetSpentError`."""
        if self._now() - self._noted >= SECONDS_BETWEEN_NOTES:
            self._note()
        self._check()

    def leave(self) -> float:
        """Work on the cell ends; returns all seconds spent on it so far."""
        return self._note()

    def _note(self) -> float:
        """All seconds of the cell so far: it is this process's alone, the file is not."""
        now = self._now()
        with door(self._folder):
            spent = read_spent(self._folder).get(self._cell, 0.0) + now - self._since
            write_spent(self._folder, {self._cell: spent})
        self._since = self._noted = now
        return spent

    def _check(self) -> None:
        if self._end is not None and self._now() >= self._end:
            raise BudgetSpentError
