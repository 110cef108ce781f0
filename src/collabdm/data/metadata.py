"""`metadata.csv`, `.jsonl` or `.parquet` beside image files: labels and further columns by the name of a file."""

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from collabdm.data.columns import label_named
from collabdm.data.image_files import Parts
from collabdm.errors import DataError, explain

__all__ = ["as_column", "is_metadata", "metadata_rows", "place_key"]

_FILE_COLUMNS = ("file_name", "filename", "file", "image", "image_path", "path")


def is_metadata(place: Parts) -> bool:
    """Whether a file is such a table, by its name."""
    return place[-1].lower() in ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")


def place_key(place: Parts) -> Parts:
    """A place as tables and file systems both may write it."""
    return tuple(unicodedata.normalize("NFC", part) for part in place)


def metadata_rows(source: str, others: Mapping[Parts, Callable[[], bytes]]) -> dict[Parts, dict[str, Any]]:
    """What the tables among the `others` say of each file, by its `place_key`; texts as they are written.

    A table speaks of files in its own folder and below. A table in a folder below has the last word.

    Raises:
        DataError: a table cannot be read, or has no column of file names.
    """
    rows: dict[Parts, dict[str, Any]] = {}
    for place in sorted(filter(is_metadata, others), key=len):
        what = f"{source}: {'/'.join(place)}"
        table = _table(what, place[-1].lower().rsplit(".", 1)[1], others[place])
        columns = {str(name).strip().casefold(): name for row in table[:1] for name in row}
        named = next((columns[name] for name in _FILE_COLUMNS if name in columns), None)
        if table and named is None:
            got, expected = ", ".join(columns), "a column file_name, with the name of each image"
            fix = "call the column with the files' names file_name"
            raise DataError(explain(f"columns of {what}", got=got, expected=expected, fix=fix))
        for file, values in _by_file(what, table, named).items():
            rows.setdefault(place_key((*place[:-1], *file)), {}).update(values)
    return rows


def _by_file(what: str, table: list[dict[Any, Any]], named: Any) -> dict[Parts, dict[str, Any]]:
    """The rows of one table; of several for a file the last counts. Raises `DataError` where they name two classes:
    either may be wrong."""
    rows: dict[Parts, dict[str, Any]] = {}
    label = label_named([str(name).strip() for row in table[:1] for name in row], certain=False)
    for row in table:
        if row.get(named):
            file = place_key(PurePosixPath(str(row[named]).strip().replace("\\", "/")).parts)
            values = {str(name).strip(): value for name, value in row.items() if name not in (named, None)}
            before, own = rows.get(file, values).get(label or ""), values.get(label or "")
            if before != own:
                got = f"{'/'.join(file)} twice, with {label} {before} and {own}"
                fix = "keep the row that is right"
                raise DataError(explain(f"rows of {what}", got=got, expected="one class for each file", fix=fix))
            rows.setdefault(file, {}).update(values)
    return rows


def as_column(values: list[Any]) -> np.ndarray:
    """One value per image: whole numbers where all are such, also as text or floats; else text, empty where missing."""
    texts = ["" if value is None else str(value).strip() for value in values]
    try:
        # `007` and `7` are names; `1.0` is what pandas makes of 1 where another row has none.
        if texts and all(str(int(text.removesuffix(".0"))) == text.removesuffix(".0") for text in texts):
            return np.array([int(text.removesuffix(".0")) for text in texts], dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    return np.array(texts, dtype=str)


def _table(what: str, kind: str, read: Callable[[], bytes]) -> list[dict[Any, Any]]:
    try:
        content = read()
        if kind == "parquet":
            from pyarrow.parquet import read_table

            return read_table(io.BytesIO(content)).to_pylist()
        text = content.decode("utf-8-sig")
        if kind == "jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            if not all(isinstance(row, dict) for row in rows):
                raise ValueError("a line that is no JSON object")
            return rows
        head = text.split("\n", 1)[0]
        # A European spreadsheet writes semicolons.
        delimiter = max(",;\t", key=head.count)
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except Exception as error:
        expected, fix = "a table of file names and values, in UTF-8", "write the table again, with UTF-8 as encoding"
        raise DataError(
            explain(what, got=f"{type(error).__name__}: {error}"[:200], expected=expected, fix=fix)
        ) from None
