"""Columns of a table as found, before anything is known about them: numbers, or texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from collabdm.data.tabular.marks import stands_for_nothing
from collabdm.errors import DataError, explain

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RawTable", "as_texts", "check_distinct", "listed", "raw_table"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """`columns` by name in their order: float64 [n] with NaN for missing, or texts (object [n]) with None.

    `source` names the table in messages; `passed`: columns that hold no numbers or texts, by name, and what they hold;
    `rows`: where each row stood in the file, from 0, where that is another place. `marks`: of columns in which cells
    say that a value is missing (`(empty)`, `?`), these texts, object [n] with None for all other cells.
    """

    source: str
    columns: Mapping[str, np.ndarray]
    passed: Mapping[str, str] = field(default_factory=dict)
    rows: np.ndarray | None = None
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def take(self, rows: np.ndarray, source: str | None = None) -> "RawTable":
        """The rows at these places, int64, in that order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        places = rows if self.rows is None else self.rows[rows]
        marks = {name: values[rows] for name, values in self.marks.items()}
        return RawTable(source=source or self.source, columns=columns, passed=self.passed, rows=places, marks=marks)

    def row(self, place: int) -> str:
        """For messages: the row at `place` as people count them in the file, from 1 below the header."""
        return f"{self.source}, row {int(place if self.rows is None else self.rows[place]) + 1}"


def raw_table(table: "pa.Table", source: str) -> RawTable:
    """A table of Arrow's, column by column. Raises `DataError` where two have one name, or there are no rows."""
    names = [name.strip() for name in table.column_names]
    check_distinct(names, source)
    if not table.num_rows:
        got, expected = f"a header of {len(names)} columns and no rows", "at least one row"
        raise DataError(explain(source, got=got, expected=expected, fix="check that the file is complete"))
    columns, passed, marks = dict[str, np.ndarray](), dict[str, str](), dict[str, np.ndarray]()
    for name, column in zip(names, table.columns, strict=True):
        values = _values(column)
        if values is None:
            passed[name] = str(column.type)[:60]
            continue
        columns[name] = values
        if values.dtype == object and (own := _without_marks(values)) is not None:
            columns[name], marks[name] = own
    return RawTable(source=source, columns=columns, passed=passed, marks=marks)


def check_distinct(names: Sequence[str], source: str) -> None:
    """Raise `DataError` where two columns have one name."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        got = f"{twice or 'no name'} {names.count(twice)} times"
        raise DataError(explain(f"columns of {source}", got=got, expected="distinct names", fix="rename or drop one"))


def _values(column: "pa.ChunkedArray") -> np.ndarray | None:
    """Numbers or texts; None where the column holds neither."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(kind):
        return pc.cast(column, pa.string()).to_numpy(zero_copy_only=False)  # pyright: ignore
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view":
        trimmed = pc.utf8_trim_whitespace(column.cast(pa.large_string()))  # pyright: ignore
        return trimmed.to_numpy(zero_copy_only=False).astype(object)
    return None


def _without_marks(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(the texts with None for missing, what stood there instead) where cells say that they hold nothing."""
    said = {text for text in set(texts.tolist()) if text is not None and stands_for_nothing(text)}
    if not said:
        return None
    missing = np.array([text in said for text in texts.tolist()], dtype=bool)
    kept, told = texts.copy(), texts.copy()
    kept[missing] = None
    # Nothing need be told of a cell that is empty.
    told[~missing | (texts == "")] = None
    return kept, told


def as_texts(values: np.ndarray) -> np.ndarray:
    """Numbers as people write them (3, not 3.0), texts as they are: object [n] with None for missing."""
    if values.dtype == object:
        return values
    return np.array([_written(value) for value in values.tolist()], dtype=object)


def _written(value: float) -> str | None:
    if value != value:
        return None
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def listed(names: Sequence[Any], most: int = 12) -> str:
    """The first names, and how many more there are."""
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
