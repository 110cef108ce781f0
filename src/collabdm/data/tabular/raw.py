"""Columns of a table as found, before anything is known about them: numbers, or texts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from collabdm.errors import DataError, explain

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DASH", "RawTable", "as_texts", "listed", "numbers_in", "raw_table", "stands_for_nothing"]

# What programs write for a value that is not there; case does not matter.
_NOTHING = ("", "na", "n/a", "#n/a", "nan", "nat", "none", "null", "<na>", "?")
DASH = ("-", "--")
"""Cells that are missing among numbers, and a level among texts."""

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """`columns` by name in their order: float64 [n] with NaN for missing, or texts (object [n]) with None.

    `source` names the table in messages; `passed`: columns that hold no numbers or texts, by name, and what they hold;
    `rows`: where each row stood in the file, from 0, where that is another place.
    """

    source: str
    columns: Mapping[str, np.ndarray]
    passed: Mapping[str, str] = field(default_factory=dict)
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def take(self, rows: np.ndarray, source: str | None = None) -> "RawTable":
        """The rows at these places, int64, in that order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        places = rows if self.rows is None else self.rows[rows]
        return RawTable(source=source or self.source, columns=columns, passed=self.passed, rows=places)

    def row(self, place: int) -> str:
        """For messages: the row at `place` as people count them in the file, from 1 below the header."""
        return f"{self.source}, row {int(place if self.rows is None else self.rows[place]) + 1}"


def raw_table(table: "pa.Table", source: str) -> RawTable:
    """A table of Arrow's, column by column. Raises `DataError` where two have one name, or there are no rows."""
    names = [name.strip() for name in table.column_names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        got = f"{twice or 'no name'} {names.count(twice)} times"
        raise DataError(explain(f"columns of {source}", got=got, expected="distinct names", fix="rename or drop one"))
    if not table.num_rows:
        got, expected = f"a header of {len(names)} columns and no rows", "at least one row"
        raise DataError(explain(source, got=got, expected=expected, fix="check that the file is complete"))
    columns, passed = dict[str, np.ndarray](), dict[str, str]()
    for name, column in zip(names, table.columns, strict=True):
        values = _values(column)
        if values is None:
            passed[name] = str(column.type)[:60]
        else:
            columns[name] = values
    return RawTable(source=source, columns=columns, passed=passed)


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
        texts = trimmed.to_numpy(zero_copy_only=False).astype(object)
        missing = np.array([text is None or stands_for_nothing(text) for text in texts.tolist()], dtype=bool)
        texts[missing] = None
        return texts
    return None


def stands_for_nothing(text: str) -> bool:
    """Whether a cell with this text, without blanks round it, is read as a missing value."""
    return text.casefold() in _NOTHING


def numbers_in(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """(numbers float64 [n], which texts are none bool [n], how commas were read) of texts [n] with None.

    Where every text with a comma has it before three digits, it parts thousands; where all are whole numbers but for
    one comma each, it is the decimal point; else it is no number.
    """
    present = [text for text in texts.tolist() if text is not None and text not in DASH]
    with_comma = [text for text in present if "," in text]
    how = ""
    if with_comma and all(_THOUSANDS.fullmatch(text) for text in with_comma):
        how = "thousands"
    elif with_comma and all(_DECIMAL_COMMA.fullmatch(text) for text in present):
        how = "decimals"
    change = {"thousands": ("", ","), "decimals": (".", ",")}.get(how)
    numbers, wrong = np.full(len(texts), np.nan), np.zeros(len(texts), dtype=bool)
    for row, text in enumerate(texts.tolist()):
        if text is None or text in DASH:
            continue
        try:
            # Python reads 1_000 as a number, which no table means by it.
            numbers[row] = float("_" if "_" in text else text.replace(change[1], change[0]) if change else text)
        except ValueError:
            wrong[row] = True
    return numbers, wrong, how


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
