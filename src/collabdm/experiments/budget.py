"""Time: what each cell took, and when to stop."""

from collections.abc import Callable
from pathlib import Path

from collabdm.experiments.records import read_spent, write_spent

__all__ = ["BudgetSpentError", "Clock"]

SECONDS_BETWEEN_NOTES = 20.0


class BudgetSpentError(Exception):
    """Raised out of a cell by what it reports: everything it has checkpointed is kept."""


class Clock:
    """Seconds of work per cell, kept on disk, and the budget of this run."""

    def __init__(self, folder: Path, now: Callable[[], float], budget: float | None) -> None:
        """`now`: seconds on any clock that goes forward; `budget`: seconds from here, None for as long as it takes."""
        self._folder, self._now, self._spent = folder, now, read_spent(folder)
        self._end = None if budget is None else now() + budget
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
        self._note()
        return self._spent[self._cell]

    def _note(self) -> None:
        now = self._now()
        self._spent[self._cell] = self._spent.get(self._cell, 0.0) + now - self._since
        self._since = self._noted = now
        write_spent(self._folder, self._spent)

    def _check(self) -> None:
        if self._end is not None and self._now() >= self._end:
            raise BudgetSpentError
