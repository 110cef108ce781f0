"""What is declared about a CSV of network flows: its columns, how each becomes a pixel, its classes and its stations.

Nothing here is learnt from data: two sites that never see each other's flows make the same pixels of the same flow,
so images need no second round. A schema is a JSON file; those of `schemas/` are known by name.
"""

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from collabdm.errors import ConfigError, explain
from collabdm.storage.reading import MOST_JSON, regular_bytes, strict_json

__all__ = ["Column", "FlowSchema", "StationRule", "load_schema", "schema_names"]

_SCHEMAS = resources.files("collabdm.data.flows").joinpath("schemas")

Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Column(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """One column of the file.

    `log1p` maps x to log(1 + (x - low) / unit) over the same of `high`, `linear` to (x - low) / (high - low), `code`
    the k-th of n levels to k / n (from 1). Values outside `low` to `high` are clipped and counted. A column with
    `missing` takes that pixel for an empty cell, and its values fill 1/8 to 1; elsewhere an empty cell is an error.
    A `port` is a number from 0 to 65535, also in hexadecimal (0x0050) or octal (0120). With `other`, a level that is
    not listed becomes pixel 1 and is counted. A column that `leaks` tells the label by how the data were recorded (the
    order of the capture, the test bed), and is kept only where that is asked for; `note` says how.
    """

    name: Name
    kind: Literal["numeric", "categorical", "label", "drop"]
    transform: Literal["log1p", "linear", "code"] | None = None
    format: Literal["number", "port"] = "number"
    low: float = 0.0
    high: float | None = None
    unit: Annotated[float, Field(gt=0)] = 1.0
    levels: tuple[str, ...] = ()
    other: bool = False
    missing: Fraction | None = None
    leaks: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Column":
        allowed = {"numeric": ("log1p", "linear"), "categorical": ("code",)}.get(self.kind, (None,))
        if self.transform not in allowed:
            raise ValueError(f"transform of a {self.kind} column: {' or '.join(map(str, allowed))}")
        if self.kind == "numeric" and (self.high is None or self.high <= self.low):
            raise ValueError("a numeric column needs low < high")
        if self.kind in ("categorical", "label") and len(set(self.levels)) != max(len(self.levels), 1):
            raise ValueError("levels must be distinct, and at least one")
        return self

    @property
    def read_as(self) -> Literal["number", "text"]:
        """What its cells are read as."""
        return "number" if self.kind == "numeric" and self.format == "number" else "text"


class StationRule(BaseModel, frozen=True, extra="forbid"):
    """Which station a row is of: one for all, by data row (`edges`: the first rows of each further station, from 0), by
    restarts of a counting column, or the text of a column. `rows`: the file that the edges are of has so many.
    """

    kind: Literal["single", "rows", "restart", "column"] = "single"
    names: tuple[Name, ...] = ("1",)
    edges: tuple[Annotated[int, Field(gt=0)], ...] = ()
    rows: Annotated[int, Field(gt=0)] | None = None
    column: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "StationRule":
        if len(set(self.names)) != max(len(self.names), 1):
            raise ValueError("station names must be distinct, and at least one")
        if (self.column is not None) != (self.kind in ("restart", "column")):
            raise ValueError("a column goes with kind restart or column")
        wanted = len(self.names) - 1 if self.kind == "rows" else 0
        if len(self.edges) != wanted or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("kind rows needs one ascending edge fewer than names, other kinds none")
        if self.rows is not None and (self.kind != "rows" or self.rows <= max(self.edges, default=0)):
            raise ValueError("rows goes with kind rows, and is more than the last edge")
        return self


class FlowSchema(BaseModel, frozen=True, extra="forbid"):
    """A whole file. `classes` maps each level of the label column to a class of the images, in the classes' order.

    `flows_per_image` consecutive flows make an image, whatever columns are kept; `side` is the image's proposed side.
    With `deduplicate`, a row that repeats an earlier one in every column but the dropped is left out.
    """

    name: Name
    title: str = ""
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    classes: dict[str, Name]
    benign: str
    flows_per_image: Annotated[int, Field(ge=1)]
    side: Annotated[int, Field(ge=4)]
    station: StationRule = StationRule()
    time: str | None = None
    host: str | None = None
    deduplicate: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "FlowSchema":
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("column names must be distinct")
        if sum(column.kind == "label" for column in self.columns) != 1:
            raise ValueError("exactly one label column is needed")
        if set(self.classes) != set(self.label.levels) or self.benign not in self.classes:
            raise ValueError("classes must name every level of the label column, and benign one of them")
        for named in (self.time, self.host, self.station.column):
            if named is not None and named not in names:
                raise ValueError(f"no column is called {named}")
        counts_up = self.station.kind == "restart"
        for named, as_number in ((self.time, True), (self.host, False), (self.station.column, counts_up)):
            column = next((one for one in self.columns if one.name == named), None)
            # A column is read once: a feature that becomes pixels as a number cannot also be names, nor the reverse.
            if column is not None and column.kind != "drop" and (column.read_as == "number") != as_number:
                wanted = "a number" if as_number else "text"
                raise ValueError(f"column {named} must be {wanted} here, and is read as {column.read_as}")
        return self

    @property
    def label(self) -> Column:
        """The label column; its levels are the types of flows, before small ones are merged into classes."""
        return next(column for column in self.columns if column.kind == "label")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the images."""
        return tuple(dict.fromkeys(self.classes.values()))

    @property
    def class_of_type(self) -> tuple[int, ...]:
        """For each level of the label column, the position of its class."""
        return tuple(self.class_names.index(self.classes[level]) for level in self.label.levels)

    @property
    def benign_class(self) -> int:
        """The position of the class of benign traffic."""
        return self.class_names.index(self.classes[self.benign])

    def features(self, *, keep_leaking: bool = False) -> tuple[Column, ...]:
        """The columns that become pixels, in the file's order."""
        kept = ("numeric", "categorical")
        return tuple(c for c in self.columns if c.kind in kept and (keep_leaking or not c.leaks))

    def digest(self) -> str:
        """SHA-256 of the schema as JSON with sorted keys."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def schema_names() -> list[str]:
    """The schemas that come with CollabDM."""
    return sorted(path.name.removesuffix(".json") for path in _SCHEMAS.iterdir() if path.name.endswith(".json"))


def load_schema(name_or_path: str) -> FlowSchema:
    """A schema by its name, or from a JSON file. Raises `ConfigError` where there is none, or it is no schema."""
    if name_or_path in schema_names():
        text = (
            resources.files("collabdm.data.flows")
            .joinpath("schemas", f"{name_or_path}.json")
            .read_text(encoding="utf-8")
        )
    else:
        text = _read(Path(name_or_path))
    try:
        strict_json(text)  # a key that stands there twice, which pydantic would pass over
    except ValueError as error:
        fix = "correct the file"
        raise ConfigError(explain(f"schema {name_or_path}", got=error, expected="a JSON file", fix=fix)) from None
    try:
        return FlowSchema.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        what = f"schema {name_or_path}{f', {where}' if where else ''}"
        raise ConfigError(
            explain(what, got=repr(first["input"])[:80], expected=message, fix="correct the file")
        ) from None


def _read(path: Path) -> str:
    try:
        return regular_bytes(path, MOST_JSON).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a file that is not text"
        raise ConfigError(
            explain(
                f"schema {path}",
                got=reason,
                expected=f"{', '.join(schema_names())}, or a JSON file",
                fix="check the name or the path",
            )
        ) from None
