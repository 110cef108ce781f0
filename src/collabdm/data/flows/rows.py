"""A flow as a row of a table: the declared columns of a schema of flows, as those of a table, and each cell in them.

A heavy tail (`log1p` in a unit) becomes `asinh` at that unit as its scale, which for values far above the unit is the
same but for a constant; a code becomes a category, whose levels lie equally far apart.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ValidationError

from collabdm.data.flows.cells import Texts
from collabdm.data.flows.schema import Column, FlowSchema
from collabdm.data.flows.tally import Tally
from collabdm.data.flows.transforms import clipped_numbers, declared_positions
from collabdm.data.tabular.column import LARGEST
from collabdm.data.tabular.column import Column as TableColumn
from collabdm.data.tabular.raw import stands_for_nothing
from collabdm.data.tabular.schema import TableSchema
from collabdm.errors import ConfigError, explain, told

__all__ = ["RowSettings", "number_values", "text_values"]

_SMALLEST = 1e-18


class RowSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """All that determines the row of a given flow; it travels with a data set, a distilled set and a classifier."""

    kind: Literal["rows"] = "rows"
    flow_schema: FlowSchema
    keep_leaking: bool = False

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns kept, in order."""
        return self.flow_schema.features(keep_leaking=self.keep_leaking)

    @cached_property
    def table(self) -> TableSchema:
        """The table's declared columns, its column of labels and the classes, in the flow schema's order.

        Raises `ConfigError` where a name or a level is none that a table could have.
        """
        names = {column.name.strip() for column in self.features}
        fields = {
            "label": _free(("label", "class"), names),
            "classes": _cell_texts(self.flow_schema.class_names),
            "columns": [_declared(column) for column in self.features],
        }
        try:
            return TableSchema.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            got, fix = f"{'.'.join(map(str, first['loc']))} {first['input']!r}"[:120], "rename it in the schema"
            what = f"schema {self.flow_schema.name} as a table"
            raise ConfigError(explain(what, got=got, expected=told(first), fix=fix)) from None

    @property
    def station_column(self) -> str:
        """What the table's column of stations is called: as no other column is."""
        table = self.table
        return _free(("station", "site"), {table.label, *(column.name for column in table.columns)})

    @property
    def benign(self) -> str:
        """The class of benign traffic, as the table has it."""
        return self.table.classes[self.flow_schema.benign_class]

    def digest(self) -> str:
        """SHA-256 of all that a row depends on."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def number_values(path: Path, lines: np.ndarray, column: Column, values: np.ndarray, tally: Tally) -> np.ndarray:
    """Numbers float64 [n] as stored rows have them, float32 [n]: within the declared range, also once they are rounded
    to 32 bits, and NaN for an empty cell. Counts and errors are those of `transforms.clipped_numbers`."""
    low, high = _range(column)
    found = clipped_numbers(path, lines, column, values, tally).clip(low, high)
    rounded = found.astype(np.float32)
    nearest = np.array([low, high], np.float32)
    # Compared in 64 bits: in 32, an end is what it is rounded to.
    exact = rounded.astype(np.float64)
    rounded = np.where(exact > high, np.nextafter(nearest[1], np.float32(-np.inf)), rounded)
    return np.where(exact < low, np.nextafter(nearest[0], np.float32(np.inf)), rounded)


def text_values(path: Path, lines: np.ndarray, column: Column, texts: Texts, tally: Tally) -> np.ndarray:
    """The place of each level among those of the table's column, float64 [n], NaN for an empty cell: unlisted ones are
    the last level where the column allows others. Counts and errors are those of `transforms.declared_positions`."""
    places = declared_positions(path, lines, column, texts, tally)
    return np.where(texts.codes < 0, np.nan, places)


def _declared(column: Column) -> TableColumn | dict[str, object]:
    shared: dict[str, object] = {"name": column.name.strip(), "missing": column.missing is not None}
    if column.kind == "categorical":
        return shared | {"kind": "categorical", "levels": _cell_texts(column.levels, other=column.other)}
    low, high = _range(column)
    shared |= {"kind": "numeric", "low": low, "high": high, "integer": column.format == "port"}
    if column.transform == "log1p":
        return shared | {"transform": "asinh", "scale": min(max(column.unit, _SMALLEST), LARGEST)}
    return shared


def _range(column: Column) -> tuple[float, float]:
    """The declared range, as far as a table's may go."""
    high = column.low if column.high is None else column.high
    return max(column.low, -LARGEST), min(high, LARGEST)


def _cell_texts(levels: Sequence[str], *, other: bool = False) -> tuple[str, ...]:
    """What levels are called in a table, all differently; with `other`, one more for those that are not listed.

    Readers of tables take blanks round a text away, and some texts (none, NA, ?) for a missing value.
    """
    found: list[str] = []
    for level in (*levels, *(["other"] if other else [])):
        text = level.strip() or "empty"
        while stands_for_nothing(text) or text in found or (text == "empty" and not level.strip()):
            text = f"({text})"
        found.append(text)
    return tuple(found)


def _free(wanted: Iterable[str], taken: set[str]) -> str:
    """The first of the wanted names that is not taken, whatever its case; else the last with a line behind it."""
    held, names = {name.casefold() for name in taken}, list(wanted)
    while names[-1].casefold() in held:
        names[-1] += "_"
    return next(name for name in names if name.casefold() not in held)
