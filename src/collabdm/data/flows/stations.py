"""Which station each row is of, by the schema's rule, while a file streams by."""

from pathlib import Path

import numpy as np

from collabdm.data.flows.cells import Cells
from collabdm.data.flows.faults import cell_error
from collabdm.data.flows.schema import StationRule
from collabdm.errors import DataError, explain

__all__ = ["Stations"]


class Stations:
    """Follows the rule from block to block."""

    def __init__(self, path: Path, rule: StationRule) -> None:
        self._path, self._rule = path, rule
        self._rows = self._current = 0
        self._last = -np.inf

    def of(self, cells: Cells) -> np.ndarray:
        """Positions in the rule's names, int64 [n], for the next rows of the file.

        Raises `DataError` for more restarts than stations, a name that the rule does not list, or more rows than it is
        for.
        """
        count, rule = len(cells.lines), self._rule
        first, self._rows = self._rows, self._rows + count
        if rule.kind == "rows":
            if rule.rows is not None and self._rows > rule.rows:
                what, got = f"{self._path}, line {int(cells.lines[rule.rows - first])}", "another row"
                expected = f"the {rule.rows:,} rows of the file that the schema shares among its stations"
                fix = "take that file, or change the station rule of the schema"
                raise DataError(explain(what, got=got, expected=expected, fix=fix))
            return np.searchsorted(rule.edges, np.arange(first, first + count), side="right").astype(np.int64)
        if rule.kind == "restart" and rule.column:
            return self._restarts(cells, rule.column)
        if rule.kind == "column" and rule.column:
            return self._named(cells, rule.column)
        return np.zeros(count, np.int64)

    def _restarts(self, cells: Cells, column: str) -> np.ndarray:
        values = cells.numbers[column]
        if (empty := np.isnan(values)).any():
            row, fix = int(np.argmax(empty)), "fill the cell, or change the station rule of the schema"
            got, expected = "an empty cell", "a number: a new station begins where it falls"
            raise cell_error(self._path, int(cells.lines[row]), column, got=got, expected=expected, fix=fix)
        stations = self._current + np.cumsum(np.diff(values, prepend=self._last) < 0)
        beyond = stations >= len(self._rule.names)
        if beyond.any():
            row = int(np.argmax(beyond))
            expected = f"{len(self._rule.names)} stations, each counting up"
            fix = "keep the rows in the order of the original file, or change the station rule of the schema"
            got = f"{values[row]:g}, one restart too many"
            raise cell_error(self._path, int(cells.lines[row]), column, got=got, expected=expected, fix=fix)
        if len(values):
            self._current, self._last = int(stations[-1]), values[-1]
        return stations.astype(np.int64)

    def _named(self, cells: Cells, column: str) -> np.ndarray:
        texts = cells.texts[column]
        known = {name: position for position, name in enumerate(self._rule.names)}
        stations = np.array([known.get(level, -1) for level in texts.levels] + [-1], np.int64)[texts.codes]
        if (stations < 0).any():
            row = int(np.argmax(stations < 0))
            got = repr(texts.levels[texts.codes[row]]) if texts.codes[row] >= 0 else "an empty cell"
            expected = f"one of the stations {', '.join(self._rule.names)}"
            fix = 'correct the cell, or list the station in "names" of "station" in the schema'
            raise cell_error(self._path, int(cells.lines[row]), column, got=got, expected=expected, fix=fix)
        return stations
