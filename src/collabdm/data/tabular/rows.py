"""From a raw table to stored rows, by declared columns."""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from collabdm.data.class_names import spelled_as
from collabdm.data.tabular.column import Column
from collabdm.data.tabular.numerals import Numbers, how_written, numbers_in, unit_of
from collabdm.data.tabular.raw import RawTable, as_texts, listed
from collabdm.errors import DataError, DataWarning, explain

__all__ = ["Reading", "rows_by"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was not read as it is written, by column: numbers `clipped` to the declared range, `unknown` levels, values
    that are `missing` where none are declared to be, how often which `marks` (`?`, `-`) were read as missing, how
    numbers are `written` that no program writes so, the declared unit where the cells are `bare` of it; and the further
    columns that were `passed` over."""

    clipped: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    bare: Mapping[str, str] = field(default_factory=dict)
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
        if self.marks:
            marked = [f"{n} x {mark} in {name}" for name, own in self.marks.items() for mark, n in own.items()]
            parts.append(f"marks read as missing values: {listed(marked)}")
        if self.written:
            parts.append(listed(list(self.written.values())))
        if self.bare:
            without = listed([f"{unit} in {name}" for name, unit in self.bare.items()])
            parts.append(f"numbers without the unit that the schema declares are read as if they had it: {without}")
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
    found: dict[str, dict[str, Any]] = {
        what: {} for what in ("clipped", "unknown", "missing", "marks", "written", "bare")
    }
    for place, column in enumerate(columns):
        called = meant.get(column.name, column.name)
        values = (
            _levels(column, called, raw, found)
            if column.kind == "categorical"
            else _numbers(column, called, raw, found)
        )
        absent = int(np.isnan(values).sum())
        if absent and not column.missing:
            found["missing"][column.name] = absent
            # Networks have no place for it, and see the middle of the range either way.
        rows[:, place] = values
    used = {*names, *meant.values(), *aside}
    passed = [name for name in (*raw.columns, *raw.passed) if name not in used]
    return rows, Reading(**found, passed=passed)


def _levels(column: Column, called: str, raw: RawTable, found: dict[str, dict[str, Any]]) -> np.ndarray:
    texts = as_texts(raw.columns[called])
    if called in raw.marks:
        said, levels = raw.marks[called], set(column.levels)
        # What a schema declares as a level is one, whatever else it may stand for.
        texts = np.where([text in levels for text in said.tolist()], said, texts)
        _count_marks(column, [text for text in said.tolist() if text is not None and text not in levels], found)
    places = column.level_numbers(texts)
    if unknown := int((places == -1).sum()):
        found["unknown"][column.name] = unknown
    return places


def _count_marks(column: Column, marks: Iterable[str], found: dict[str, dict[str, Any]]) -> None:
    if counts := Counter(marks):
        found["marks"][column.name] = dict(counts.most_common())


def _numbers(column: Column, called: str, raw: RawTable, found: dict[str, dict[str, Any]]) -> np.ndarray:
    numbers = values = raw.columns[called]
    bare = column.unit is not None
    if values.dtype == object:
        read = numbers_in(values)
        _check_form(column, values, read, raw)
        numbers, bare = read.values, bare and read.unit is None
        said = raw.marks[called].tolist() if called in raw.marks else []
        _count_marks(column, [*filter(None, said), *Counter(read.marks).elements()], found)
        if how := how_written(column.name, read):
            found["written"][column.name] = how
    if bare and column.unit and not np.isnan(numbers).all():
        found["bare"][column.name] = column.unit
    low, high = column.range
    outside = (numbers < low) | (numbers > high)
    if outside.any():
        found["clipped"][column.name] = int(outside.sum())
        numbers = np.clip(numbers, low, high)
    return numbers


def _check_form(column: Column, values: np.ndarray, read: Numbers, raw: RawTable) -> None:
    """Refuse the first cell that is no number, or has another unit than is declared, or than all others."""
    fix = "correct it, leave it empty, or declare the column categorical in the schema"
    expected, wrong = "a number", read.wrong
    if not wrong.any():
        usual = column.unit if column.unit in read.units else ""
        if not read.units or list(read.units) == [usual]:
            return
        wrong = np.array([not absent and unit_of(text) != usual for text, absent in _cells(values, read)])
        expected = f"a number in {usual}, as in other rows" if usual else "a number without a unit"
        fix = "write all of them in one form"
        if unit := unit_of(values[int(np.argmax(wrong))]):
            fix += f', or declare it in the schema where all have it ("unit": "{unit}")'
    row = int(np.argmax(wrong))
    raise DataError(
        explain(f"{raw.row(row)}, column {column.name}", got=repr(values[row])[:80], expected=expected, fix=fix)
    )


def _cells(values: np.ndarray, read: Numbers) -> Iterable[tuple[str, bool]]:
    return zip(values.tolist(), np.isnan(read.values).tolist(), strict=True)
