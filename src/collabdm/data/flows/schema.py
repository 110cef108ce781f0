"""What is declared about a CSV of network flows: its columns, how each becomes a pixel, its classes and its stations.

Nothing here is learnt from data: two sites that never see each other's flows make the same pixels of the same flow,
so images need no second round. A schema is a JSON file; those of `schemas/` are known by name.
"""

import hashlib
import json
import unicodedata
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from collabdm.data.flows.schema_errors import contradiction, schema_error
from collabdm.errors import ConfigError, explain
from collabdm.storage.reading import MOST_JSON, read_text, strict_json

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
    order of the capture, the test bed), and is kept only where that is asked for; `note` says how. `empty`, of the
    label alone, is the level that an empty cell stands for; such cells are counted.
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
    empty: str | None = None
    leaks: bool = False
    note: str = ""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without `empty` where there is none: it is newer than files and digests that hold schemas."""
        fields = handler(self)
        if self.empty is None:
            del fields["empty"]
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> "Column":
        allowed = {"numeric": ("log1p", "linear"), "categorical": ("code",)}.get(self.kind, (None,))
        if self.transform not in allowed:
            wanted = " or ".join(f'"transform": "{name}"' for name in allowed if name) or 'no "transform"'
            got = f'"transform": "{self.transform}"' if self.transform else 'no "transform"'
            raise contradiction(got, expected=f'{wanted} with "kind": "{self.kind}"', fix=f"write {wanted}")
        if self.kind == "numeric" and (self.high is None or self.high <= self.low):
            got = 'no "high"' if self.high is None else f'"low": {self.low:g} and "high": {self.high:g}'
            fix = 'write "high": the largest value that counts (those above it are clipped and counted)'
            raise contradiction(got, expected='a numeric column has "low" (0 if not written) < "high"', fix=fix)
        if self.kind in ("categorical", "label"):
            twice = next((level for level in self.levels if self.levels.count(level) > 1), None)
            if twice is not None or not self.levels:
                got = 'no "levels"' if twice is None else f'the level "{twice}" twice in "levels"'
                fix = 'write "levels": [...], each value that its cells take once'
                raise contradiction(got, expected=f"distinct levels, at least one, of a {self.kind} column", fix=fix)
        if self.empty is not None and (self.kind != "label" or self.empty not in self.levels):
            fix = 'write one of the label\'s "levels" there (of another column, write "missing": a pixel from 0 to 1)'
            raise contradiction(f'"empty": "{self.empty}"', expected="a level of the label column", fix=fix)
        return self

    @property
    def empty_level(self) -> str | None:
        """The level of an empty cell of the label, if there is one: as declared, or a level that is itself empty."""
        return "" if self.empty is None and "" in self.levels else self.empty

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
            fix = 'write "names": [...], each station once'
            raise contradiction(_list(self.names), expected="distinct station names, at least one", fix=fix)
        if (self.column is not None) != (self.kind in ("restart", "column")):
            got, of = f'"kind": "{self.kind}"', "kind restart or column"
            fix = (
                'write "column": "...", the column that tells them'
                if self.column is None
                else f'"column" goes with {of}'
            )
            raise contradiction(got, expected=f'a "column" with {of}, and with no other', fix=fix)
        wanted = len(self.names) - 1 if self.kind == "rows" else 0
        if len(self.edges) != wanted or list(self.edges) != sorted(set(self.edges)):
            fix = f'write "edges": [...], {wanted} ascending numbers' if wanted else 'take out "edges"'
            expected = "with kind rows one ascending edge fewer than names, with other kinds none"
            raise contradiction(f'"edges": {_list(self.edges)}', expected=expected, fix=fix)
        if self.rows is not None and (self.kind != "rows" or self.rows <= max(self.edges, default=0)):
            fix = 'correct "rows", or take it out'
            raise contradiction(
                f'"rows": {self.rows}', expected='with kind rows, more than the last of "edges"', fix=fix
            )
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
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            fix = 'take one out of "columns" (a column that the file has twice is listed once)'
            raise contradiction(f'"{twice}" twice', expected="distinct column names", fix=fix)
        labels = [column.name for column in self.columns if column.kind == "label"]
        if len(labels) != 1:
            fix = 'write "kind": "label" and "levels" for the column that says what a flow is, and for no other'
            raise contradiction(_list(labels), expected="exactly one label column", fix=fix)
        self._check_classes()
        for key, named in (("time", self.time), ("host", self.host), ("station.column", self.station.column)):
            if named is not None and named not in names:
                fix = f'list it in "columns" (with "kind": "drop" if it is no pixel), or correct "{key}"'
                raise contradiction(
                    f'"{key}": "{named}"', expected="the name of a column: no column is called so", fix=fix
                )
        counts_up = self.station.kind == "restart"
        for named, as_number in ((self.time, True), (self.host, False), (self.station.column, counts_up)):
            column = next((one for one in self.columns if one.name == named), None)
            # A column is read once: a feature that becomes pixels as a number cannot also be names, nor the reverse.
            if column is not None and column.kind != "drop" and (column.read_as == "number") != as_number:
                wanted = "a number" if as_number else "text"
                fix = 'name another column, or write "kind": "drop" for it'
                raise contradiction(
                    f"one read as {column.read_as}", expected=f"column {named} must be {wanted} here", fix=fix
                )
        return self

    def _check_classes(self) -> None:
        hidden = next((name for name in self.classes.values() if not name.strip() or any(map(_control, name))), None)
        if hidden is not None:
            fix = "write a name that can be read in classes"
            if any("\x80" <= character <= "\x9f" for character in hidden):
                fix += ", or convert the files again, from CP1252: as Latin 1, its dashes became control characters"
            raise contradiction(f"the class {hidden!a}", expected="names without control characters", fix=fix)
        levels = self.label.levels
        without = [level for level in levels if level not in self.classes]
        beyond = [level for level in self.classes if level not in levels]
        if without or beyond:
            fix = (
                f'write "{(without or beyond)[0]}": a class in "classes"'
                if without
                else (f'add them to the "levels" of column {self.label.name}, or take them out of "classes"')
            )
            got = f"no class of {_list(without)}" if without else f"{_list(beyond)}, which are no levels"
            raise contradiction(got, expected='"classes" to name every level of the label column', fix=fix)
        if self.benign not in self.classes:
            fix = 'write "benign": the level (a key of "classes") that is no attack'
            raise contradiction(f'"benign": "{self.benign}"', expected=f"one of {_list(levels)}", fix=fix)

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
        models: dict[str, type[BaseModel]] = {"": FlowSchema, "columns": Column, "station": StationRule}
        raise schema_error(name_or_path, error, _tree(text), models) from None


def _tree(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def _list(names: tuple[object, ...] | list[str]) -> str:
    shown = ", ".join(map(str, names[:5])) + (", ..." if len(names) > 5 else "")
    return shown or "none"


def _read(path: Path) -> str:
    try:
        return read_text(path, MOST_JSON)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        expected = f"{', '.join(schema_names())}, or a JSON file in UTF-8"
        fix = "check the name or the path" if isinstance(error, OSError) else "save the file as UTF-8"
        raise ConfigError(explain(f"schema {path}", got=reason, expected=expected, fix=fix)) from None
