"""What a reader repaired or left out, counted: nothing happens to a file silently."""

from collections import Counter
from typing import Any

__all__ = ["Tally"]


class Tally:
    """Counts by kind and column, filled while a file is read.

    Kinds: `missing` (empty cells that became the declared pixel, or the declared level of the label), `clipped` (values
    outside the declared range), `other` (levels that the schema does not list), `trimmed` (cells with blanks round
    them), `ports` (hexadecimal or octal). Lines left out: `blank_lines`, `empty_rows` (separators alone),
    `header_lines` (the header again). `doubled_columns` the file has twice, with the same in every row.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.blank_lines = 0
        self.empty_rows = 0
        self.header_lines = 0
        self.duplicates = 0
        self.separator = ","
        self.ignored_columns: tuple[str, ...] = ()
        self.doubled_columns: tuple[str, ...] = ()
        self._cells: dict[str, Counter[str]] = {}

    def add(self, kind: str, column: str, count: int) -> None:
        """Count cells of a column; zero is not kept."""
        if count:
            self._cells.setdefault(kind, Counter())[column] += count

    def facts(self) -> dict[str, Any]:
        """All counts as plain JSON, columns in alphabetical order."""
        cells = {kind: dict(sorted(counts.items())) for kind, counts in sorted(self._cells.items())}
        totals = {"rows": self.rows, "blank_lines": self.blank_lines, "duplicates": self.duplicates}
        totals |= {name: count for name in ("empty_rows", "header_lines") if (count := getattr(self, name))}
        more: dict[str, Any] = {"doubled_columns": list(self.doubled_columns)} if self.doubled_columns else {}
        more |= {"separator": self.separator} if self.separator != "," else {}
        return {**totals, "ignored_columns": list(self.ignored_columns), **more, **cells}
