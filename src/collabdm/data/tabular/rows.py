"""From a raw table to stored rows, by declared columns."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from collabdm.data.class_names import spelled_as
from collabdm.data.tabular.column import Column
from collabdm.data.tabular.raw import RawTable, as_texts, listed, numbers_in
from collabdm.errors import DataError, DataWarning, explain

__all__ = ["Reading", "rows_by"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was not read as it is written, by column: numbers `clipped` to the declared range, `unknown` levels, values
    that are `missing` where none are declared to be; and the further columns that were `passed` over."""

    clipped: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    passed: Sequence[str] = ()

    def tell(self, source: str) -> None:
        """In one `DataWarning`, where there is something to tell."""
        said = {
            "clipped to the declared range": self.clipped,
            "levels that are not declared, read as none of them": self.unknown,
            "missing where the schema says that none are, read as the middle or no level": self.missing,
        }
        parts = [
            f"{what}: {listed([f'{n} x {name}' for name, n in counts.items()])}"
            for what, counts in said.items()
            if counts
        ]
        if self.passed:
            parts.append(f"{len(self.passed)} further columns passed over: {listed(list(self.passed))}")
        if parts:
            warnings.warn(DataWarning(f"{source}: {'; '.join(parts)}"), stacklevel=3)


def rows_by(columns: Sequence[Column], raw: RawTable, *, aside: Iterable[str] = ()) -> tuple[np.ndarray, Reading]:
    """Stored rows, float32 [n, columns]: a number, the place of a level (-1: none of them), or NaN for missing.

    Columns are matched by name. `aside`: columns of the table that are known to be something else.
    Raises `DataError` where columns are missing, or a value that should be a number is none; it names the row, counted
    from 1 below the header.
    """
    names = [column.name for column in columns]
    meant = spelled_as(names, list(raw.columns))
    if lacking := [name for name in names if name not in raw.columns and name not in meant]:
        got, held = (
            f"no {listed(lacking)}",
            f"the columns of the schema (this table has {listed(list(raw.columns), 40)})",
        )
        fix = "add or rename them; of one that a site cannot know the rows may be empty"
        raise DataError(explain(f"columns of {raw.source}", got=got, expected=held, fix=fix))
    rows = np.empty((len(raw), len(columns)), dtype=np.float32)
    counts: dict[str, dict[str, int]] = {"clipped": {}, "unknown": {}, "missing": {}}
    for place, column in enumerate(columns):
        own = raw.columns[meant.get(column.name, column.name)]
        values = _levels(column, own, counts) if column.kind == "categorical" else _numbers(column, own, raw, counts)
        absent = int(np.isnan(values).sum())
        if absent and not column.missing:
            counts["missing"][column.name] = absent
            # Networks have no place for it, and see the middle of the range either way.
        rows[:, place] = values
    used = {*names, *meant.values(), *aside}
    passed = [name for name in (*raw.columns, *raw.passed) if name not in used]
    return rows, Reading(**counts, passed=passed)


def _levels(column: Column, values: np.ndarray, counts: dict[str, dict[str, int]]) -> np.ndarray:
    places = column.level_numbers(as_texts(values))
    if unknown := int((places == -1).sum()):
        counts["unknown"][column.name] = unknown
    return places


def _numbers(column: Column, values: np.ndarray, raw: RawTable, counts: dict[str, dict[str, int]]) -> np.ndarray:
    numbers = values
    if values.dtype == object:
        numbers, wrong, _ = numbers_in(values)
        if wrong.any():
            row = int(np.argmax(wrong))
            what = f"{raw.row(row)}, column {column.name}"
            fix = "correct it, leave it empty, or declare the column categorical in the schema"
            raise DataError(explain(what, got=repr(values[row])[:80], expected="a number", fix=fix))
    low, high = column.range
    outside = (numbers < low) | (numbers > high)
    if outside.any():
        counts["clipped"][column.name] = int(outside.sum())
        numbers = np.clip(numbers, low, high)
    return numbers
