"""The declared schema of a table, as a file that a person can edit."""

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from collabdm.data.class_names import same_look
from collabdm.data.tabular.column import MOST_COLUMNS, Column, Text
from collabdm.errors import ConfigError, DataWarning, explain, got_in, told
from collabdm.storage.reading import read_text, strict_json

__all__ = ["MOST_CLASSES", "SCHEMA_FILE", "TableSchema", "check_columns", "own_schema", "read_schema", "schema_bytes"]

MOST_CLASSES = 1000
SCHEMA_FILE = "schema.json"
"""The file beside tables that declares their columns."""

_MOST_BYTES = 2**26


class TableSchema(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The columns in their order, and the name of the column of labels, which is none of them.

    `classes`: all labels there are, in their order; empty where the rows tell.
    """

    label: Text
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=MOST_COLUMNS)]
    classes: Annotated[tuple[Text, ...], Field(max_length=MOST_CLASSES)] = ()

    @model_validator(mode="after")
    def _distinct(self) -> "TableSchema":
        check_columns(self.columns, self.label)
        twice = next((name for name in self.classes if self.classes.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the class {twice} stands twice in classes")
        if alike := same_look(self.classes):
            raise ValueError(f"classes must be distinct to the eye, and two look like {alike[0]}")
        return self


def check_columns(columns: tuple[Column, ...], label: str) -> None:
    """Raise `ValueError` where two columns have one name, or look as if they had, or one is called like the label."""
    names = [label, *(column.name for column in columns)]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ValueError(f"two columns (the label is one) are called {twice}")
    if alike := same_look(names):
        raise ValueError(f"columns must be distinct to the eye, and two look like {alike[0]}")


def read_schema(path: str | Path) -> TableSchema:
    """The schema in a JSON file. Raises `ConfigError` that names the file, and the column that is wrong."""
    path = Path(path).expanduser()
    fix = "correct it there, or propose one anew with `collabdm schema FILE --label COLUMN`"
    fields: Any = None
    try:
        fields = strict_json(read_text(path, _MOST_BYTES))
        return TableSchema.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = _place(first["loc"], fields)
        got = got_in(first) if first["loc"] else "columns that do not agree"
        raise ConfigError(explain(f"schema {path}{where}", got=got, expected=told(first), fix=fix)) from None
    except (OSError, ValueError, RecursionError) as error:
        got = (isinstance(error, OSError) and error.strerror) or str(error)[:200]
        raise ConfigError(explain(f"schema {path}", got=got, expected="a JSON file in UTF-8", fix=fix)) from None


def own_schema(folder: Path) -> TableSchema | None:
    """The schema that lies beside the tables in a folder; None where there is none, or a JSON file of another kind,
    which is told in a `DataWarning`. Raises `ConfigError` as `read_schema` does."""
    path = folder / SCHEMA_FILE
    if not path.is_file():
        return None
    try:
        fields = strict_json(read_text(path, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        fields = None
    if isinstance(fields, dict) and {"label", "columns"} <= fields.keys():
        return read_schema(path)
    warnings.warn(DataWarning(f"{path}: passed over, since it declares no label and columns of a table"), stacklevel=3)
    return None


def schema_bytes(schema: TableSchema) -> bytes:
    """The file that `read_schema` reads back: a line for each column."""
    rows = [
        f"    {json.dumps(column.model_dump(exclude_defaults=True), ensure_ascii=False)}" for column in schema.columns
    ]
    label, classes = (json.dumps(one, ensure_ascii=False) for one in (schema.label, schema.classes))
    named = f'  "classes": {classes},\n' if schema.classes else ""
    return ('{\n  "label": ' + label + ",\n" + named + '  "columns": [\n' + ",\n".join(rows) + "\n  ]\n}\n").encode()


def _place(where: tuple[int | str, ...], fields: Any) -> str:
    """Of an error's place the column's name, where it has one."""
    if len(where) > 1 and where[0] == "columns" and isinstance(where[1], int):
        column = fields["columns"][where[1]]
        name = column.get("name") if isinstance(column, dict) else None
        called = f"column {name if isinstance(name, str) else where[1]}"
        return f": {called}" + "".join(f", {part}" for part in where[2:])
    return "".join(f": {part}" for part in where)
