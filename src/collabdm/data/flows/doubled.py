"""Columns that a file has twice under one name: the second is read only to see that it says the same."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from collabdm.data.flows.cells import Cells
from collabdm.data.flows.faults import cell_error

__all__ = ["check_same"]


def check_same(path: Path, cells: Cells, twins: Iterable[tuple[str, str]]) -> None:
    """Raises `DataError` with the first line in which a column and its twin (the names in `cells`) differ."""
    for name, twin in twins:
        first, second = _values(cells, name), _values(cells, twin)
        same = (first == second) | ((first != first) & (second != second))
        if not same.all():
            row = int(np.argmin(same))
            got = f"{_shown(first[row])} and {_shown(second[row])} in the two columns of this name"
            fix = "rename or drop the one that the schema does not mean"
            line = int(cells.lines[row])
            raise cell_error(path, line, name, got=got, expected="the same in both", fix=fix)


def _values(cells: Cells, name: str) -> np.ndarray:
    if name in cells.numbers:
        return cells.numbers[name]
    texts = cells.texts[name]
    return np.array([*texts.levels, ""], object)[texts.codes]


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
