"""Files of tables, and which of them is which part of a data set: CSV, TSV (also packed with gzip) and parquet."""

import codecs
import csv
import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from collabdm.data.splits import part_named, split_of
from collabdm.data.tabular.raw import RawTable, listed, raw_table
from collabdm.errors import DataError, DataWarning, explain

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["WHOLE", "called_table", "is_table", "table_files", "tables_of"]

WHOLE = "all"
"""The part that a source without parts has."""

_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
_MOST_CSV = 8 * 2**30
_PEEKED = 2**20
_EXPECTED = "a table: a line with the names of the columns, then a line for each row (CSV, TSV), or parquet"

# Beside tables in a folder these say something about them.
_BESIDE = (".md", ".txt", ".json", ".html", ".pdf")

# The picture beside the rows of a distilled set.
_PICTURE = "columns.png"


def called_table(path: Path) -> bool:
    """Whether nothing but a table is called so, whatever is there."""
    return path.name.lower().endswith(tuple(ending for ending in _ENDINGS if ending != ".parquet"))


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name, and of parquet by what it holds: numbers and texts, no pictures, no
    lists."""
    if not path.is_file() or not path.name.lower().endswith(_ENDINGS):
        return False
    if path.suffix.lower() != ".parquet":
        return True
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    try:
        kinds = read_schema(path).types
    except (OSError, pa.ArrowInvalid):
        return True  # what is wrong with it is told when it is read
    return not any(pa.types.is_nested(kind) or pa.types.is_binary(kind) for kind in kinds)


def table_files(path: Path) -> list[Path]:
    """The tables in a folder that holds nothing else but texts about them; empty for any other folder."""
    inside = [one for one in sorted(path.iterdir()) if not one.name.startswith((".", "_"))]
    if any(one.name in ("dataset_dict.json", "state.json") for one in inside):
        return []
    tables = [one for one in inside if is_table(one)]
    others = [one for one in inside if one not in tables and one.name != _PICTURE and one.suffix.lower() not in _BESIDE]
    # Beside pictures, metadata.csv says what these are.
    return [] if others or any(one.stem == "metadata" for one in tables) else tables


def tables_of(path: Path, splits: Sequence[str] = ()) -> Mapping[str, RawTable]:
    """The tables of a file or a folder by part: `train`, `test` and `validation` as names of files say, or `WHOLE`.

    `splits`: of a folder with several parts only those that are one of these, all where there are none.
    """
    if path.is_file():
        return {WHOLE: raw_table(_arrow(path), path.name)}
    files = _once(path, table_files(path))
    by_part: dict[str, list[Path]] = {}
    for file in files:
        by_part.setdefault(split_of(file.name.split(".")[0]) or WHOLE, []).append(file)
    if not files:
        expected = f"files {', '.join(_ENDINGS)}, for example train.csv and test.csv, and no others"
        raise DataError(explain(f"folder {path}", got="no tables", expected=expected, fix="check the path"))
    if len(by_part) > 1 and WHOLE in by_part:
        left = listed([file.name for file in by_part.pop(WHOLE)])
        told = f"{path}: passed over {left}, whose names say no part, beside {', '.join(by_part)}"
        warnings.warn(DataWarning(told), stacklevel=2)
    if splits and len(by_part) > 1:
        wanted = {part_named(str(path), split, by_part, lambda _: True) for split in splits}
        by_part = {part: own for part, own in by_part.items() if part in wanted}
    return {part: _joined(path, own) for part, own in by_part.items()}


def _once(path: Path, files: list[Path]) -> list[Path]:
    """The files, but of those that only differ in their form one each: the rows of a set lie there in two."""
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(file.name.split(".")[0], []).append(file)
    twice = {name: sorted(own, key=_by_form) for name, own in by_name.items() if len(own) > 1}
    if twice:
        left = listed([file.name for _, *others in twice.values() for file in others])
        told = f"{path}: passed over {left}, beside files of the same names in another form"
        warnings.warn(DataWarning(told), stacklevel=3)
    return [twice.get(name, own)[0] for name, own in by_name.items()]


def _by_form(file: Path) -> tuple[bool, str]:
    return file.suffix.lower() != ".parquet", file.name


def _joined(path: Path, files: list[Path]) -> RawTable:
    import pyarrow as pa

    tables = [_arrow(file) for file in files]
    for file, table in zip(files[1:], tables[1:], strict=True):
        if sorted(table.column_names) != sorted(tables[0].column_names):
            first, own = set(tables[0].column_names), set(table.column_names)
            differ = {"lacks": sorted(first - own), "has besides": sorted(own - first)}
            got = "columns of which it " + " and ".join(
                f"{how} {listed(names)}" for how, names in differ.items() if names
            )
            expected = f"those of {files[0].name}"
            fix = "give the files of one part the same columns, or name them train and test"
            raise DataError(explain(str(file), got=got, expected=expected, fix=fix))
    # Columns are matched by name, whatever their order in each file.
    tables = [table.select(tables[0].column_names) if len(files) > 1 else table for table in tables]
    name = files[0].name if len(files) == 1 else f"{path.name} ({len(files)} files)"
    return raw_table(pa.concat_tables(tables, promote_options="permissive"), name)


def _arrow(path: Path) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if path.suffix.lower() == ".parquet":
            return _named_classes(parquet.read_table(path))
        return _csv(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from None


def _named_classes(table: "pa.Table") -> "pa.Table":
    """With the names of classes in place of their numbers, where Hugging Face's library wrote these into the file."""
    import pyarrow as pa

    try:
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        named = {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return table
    for name, names in named.items():
        if name in table.column_names and pa.types.is_integer(table.column(name).type):
            values = table.column(name).to_pylist()
            texts = [names[y] if y is not None and 0 <= y < len(names) else None for y in values]
            table = table.set_column(table.column_names.index(name), name, pa.array(texts, pa.string()))
    return table


def _csv(path: Path) -> "pa.Table":
    """All columns as texts, so that what is wrong in one can be told with its row."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    # What a file is shows in its first bytes, whatever its name says.
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with pa.input_stream(str(path), compression="gzip" if packed else None) as stream:
        content = stream.read(_MOST_CSV).removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    if not content.strip():
        raise DataError(explain(str(path), got="an empty file", expected=_EXPECTED, fix="check that it is complete"))
    _check_kind(path, content)
    head = content[:_PEEKED].decode(errors="replace").splitlines()[0]
    parted = _parted_by(path, head)
    header = next(csv.reader([head], delimiter=parted))
    _check_header(path, header)
    return arrow_csv.read_csv(
        io.BytesIO(content),
        # Several threads do not know which line is wrong.
        read_options=arrow_csv.ReadOptions(column_names=header, skip_rows=1, use_threads=False),
        parse_options=arrow_csv.ParseOptions(delimiter=parted, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in header}, strings_can_be_null=False
        ),
    )


_KINDS = (
    (codecs.BOM_UTF16_LE, "text in UTF-16, as spreadsheets save it", "save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "text in UTF-16, as spreadsheets save it", "save it as UTF-8"),
    (b"PK\x03\x04", "a spreadsheet or a ZIP archive", "save the sheet as CSV, or unpack the archive"),
    (b"PAR1", "parquet", "call it .parquet"),
    (b"BZh", "a file packed with bzip2", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "a file packed with xz", "unpack it, or pack it with gzip"),
)


def _check_kind(path: Path, content: bytes) -> None:
    """Refuse what only is called a CSV, and lines above the header, which would be taken for it."""
    got, fix = next(((got, fix) for start, got, fix in _KINDS if content.startswith(start)), (None, ""))
    head = content[:_PEEKED].decode(errors="replace").splitlines()
    if got is None and b"\0" in content[:_PEEKED]:
        got, fix = "bytes that are no text", "save the table as CSV in UTF-8"
    elif got is None and (zeek := next((line for line in head[:20] if line.startswith("#fields\t")), None)) is not None:
        got = f"a Zeek log, whose names of columns stand behind #fields ({listed(zeek.split()[1:], 3)})"
        fix = "make a TSV of it: sed -n 's/^#fields\\t//p' LOG > x.tsv; grep -v '^#' LOG >> x.tsv"
    elif got is None and head[0].startswith("#") and len(head) > 1 and _fields(head[0]) < _fields(head[1]):
        got, fix = f"a remark above the columns' names ({head[0][:40]})", "take the lines above the names out"
    if got is not None:
        raise DataError(explain(str(path), got=got, expected=_EXPECTED, fix=fix))


def _fields(line: str) -> int:
    return max(line.count(parted) for parted in ",;\t|") + 1


def _parted_by(path: Path, head: str) -> str:
    """What parts the columns: a tab in a TSV, in a CSV a comma, or what its header has instead, which is told."""
    usual = "\t" if ".tsv" in path.name.lower() else ","
    if usual in head:
        return usual
    found = next((other for other in (";", "\t", "|", ",") if other in head), usual)
    if found != usual:
        name = {"\t": "tabs", ",": "commas"}.get(found, f"'{found}'")
        warnings.warn(DataWarning(f"{path.name}: columns are parted by {name}"), stacklevel=4)
    return found


def _check_header(path: Path, header: list[str]) -> None:
    """Refuse a first line of values, and names that no column can be told by."""
    names = [name.strip() for name in header]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        got = f"{twice or 'no name'} {names.count(twice)} times"
        raise DataError(explain(f"columns of {path}", got=got, expected="distinct names", fix="rename or drop one"))
    numbers = [name for name in names if re.fullmatch(r"[+-]?\d*\.?\d+([eE][+-]?\d+)?", name)]
    # Libraries number columns that have no names: 0, 1, 2, ...
    counted = (
        [str(int(numbers[0]) + place) for place in range(len(numbers))] if numbers and numbers[0].isdigit() else []
    )
    if len(numbers) * 2 > len(names) and numbers != counted:
        got, fix = f"a first line of values ({listed(names, 5)})", "put a line with the names of the columns first"
        raise DataError(explain(str(path), got=got, expected="names of the columns", fix=fix))


def _unreadable(path: Path, message: str) -> DataError:
    """What Arrow says of a file, in our words."""
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if ragged:
        # Arrow counts lines from 1 and the header is the first, which was read apart.
        row, wanted, found = (int(number) for number in ragged.groups())
        got, fix = f"{found} values", "mend that line (a text that holds the separator needs quotes)"
        expected = f"{wanted}, one for each column"
        return DataError(explain(f"{path}, line {row}", got=got, expected=expected, fix=fix))
    utf8 = "invalid UTF8" in message or "codec can't" in message
    got = "text that is not UTF-8" if utf8 else message.split("\n")[0][:200]
    if "Could not skip initial" in message:
        got = "a single line"
    fix = "save it as UTF-8" if utf8 else "check that the file is whole and of the kind that its name says"
    return DataError(explain(str(path), got=got, expected=_EXPECTED, fix=fix))
