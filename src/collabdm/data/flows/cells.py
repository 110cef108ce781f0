"""A block of CSV lines as typed columns, and the line and column of a cell that is not what it should be.

Blocks are read by pyarrow with types declared. Only where that fails, or where blanks stand round cells, is a block
read a second time as text, to repair and count, or to name the cell.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from collabdm.data.flows.csv_blocks import Block, Header
from collabdm.data.flows.faults import cell_error, first_fault
from collabdm.data.flows.passed_over import without_lines
from collabdm.data.flows.tally import Tally
from collabdm.errors import DataError, explain

__all__ = ["Cells", "Texts", "read_cells"]

# Its functions are made at run time, which type checkers cannot see.
pc: Any = pyarrow.compute

_NOTHING = ["", "nan", "NaN"]
# What programs write for a number that is not there: it can be no number. A text may well be called so.
_NO_NUMBER = ["", "nan", "<na>", "na", "n/a", "null", "none", "nil", "-", "?"]
_TEXT = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """A column of text: `levels` without blanks round them, and for each row its position there, int32 [n], -1 for an
    empty cell.
    """

    levels: tuple[str, ...]
    codes: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """The wanted columns of a block, n rows: numbers float64 [n] (NaN for an empty cell), texts, lines int64 [n]."""

    lines: np.ndarray
    numbers: Mapping[str, np.ndarray]
    texts: Mapping[str, Texts]


@dataclass(eq=False)
class _Rows:
    """Handles rows of another length: blank lines are skipped, others end the reading."""

    ragged: pyarrow.csv.InvalidRow | None = None

    def __call__(self, row: pyarrow.csv.InvalidRow) -> str:
        if not row.text.strip():
            return "skip"
        self.ragged = row
        return "error"


def read_cells(
    path: Path,
    block: Block,
    header: Header,
    *,
    numbers: Sequence[str],
    texts: Sequence[str],
    tally: Tally,
) -> Cells:
    """The named columns of a block. Blank and empty lines and the header again are left out, blanks round cells taken
    away; all are counted.

    Raises:
        DataError: a row of another length, a cell that is no number, or bytes that are no text; where is said.
    """
    if _damaged(block.content) and (fault := first_fault(path, block, header)):
        raise fault.error
    before = tally.empty_rows + tally.header_lines
    block = without_lines(block, header, tally)
    passed = tally.empty_rows + tally.header_lines - before
    kinds: dict[str, pa.DataType] = dict.fromkeys(numbers, pa.float64()) | dict.fromkeys(texts, _TEXT)
    table = None if _blanks_round_cells(block.content, header.separator) else _parsed(block, header, kinds, _Rows())
    count = block.content.count(b"\n") + (not block.content.endswith(b"\n"))
    lines = block.line + np.arange(count)
    if table is None or table.num_rows != count:
        lines = block.line + np.flatnonzero([bool(line.strip()) for line in block.content.split(b"\n")])
        table = _repaired(path, block, header, kinds, lines, tally)
    tally.blank_lines += count - len(lines) - passed
    return Cells(
        lines=lines,
        numbers={name: table.column(name).to_numpy() for name in numbers},
        texts={name: _texts(table.column(name), name, tally) for name in texts},
    )


def _damaged(content: bytes) -> bool:
    """What pyarrow would not refuse, or not in one line: NULs become part of a level, a row more at a carriage return
    makes up for a blank line, and a short row with bytes that are not UTF-8 prints a traceback.
    """
    if b"\0" in content or (b"\r" in content and content.count(b"\r") != content.count(b"\r\n")):
        return True
    try:
        if not content.isascii():
            content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _blanks_round_cells(content: bytes, separator: str) -> bool:
    # Most files have no blank at all, which is seen many times faster.
    between, tab = separator.encode(), b"" if separator == "\t" else b"\t"
    if b" " not in content and not (tab and tab in content):
        return False
    blanks = (b" " + between, between + b" ", b"\n ", b" \n", b" \r", *([tab] if tab else []))
    return any(blank in content for blank in blanks)


def _parsed(block: Block, header: Header, kinds: Mapping[str, pa.DataType], rows: _Rows) -> pa.Table | None:
    """None where a cell or a row is not as declared."""
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(block.content),
            read_options=pyarrow.csv.ReadOptions(
                column_names=list(header.names), use_threads=False, block_size=len(block.content) + 1
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=header.separator, invalid_row_handler=rows),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict(kinds), null_values=_NOTHING, strings_can_be_null=True, include_columns=list(kinds)
            ),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None


def _repaired(
    path: Path, block: Block, header: Header, kinds: Mapping[str, pa.DataType], lines: np.ndarray, tally: Tally
) -> pa.Table:
    """The same block read as text; the first bad cell in it is an error."""
    plain = {name: pa.string() if kind == pa.float64() else kind for name, kind in kinds.items()}
    rows = _Rows()
    table = _parsed(block, header, plain, rows)
    ragged = _ragged_line(block, rows.ragged) if rows.ragged is not None else None
    if table is None or table.num_rows != len(lines):
        # A quote left open is told rather than the lines that it swallows.
        fault = first_fault(path, block, header)
        if fault and (ragged is None or fault.line <= ragged):
            raise fault.error
    if rows.ragged is not None:
        raise _ragged_error(path, int(ragged or block.line), rows.ragged, header)
    if table is None or table.num_rows != len(lines):
        what, got = f"{path}, line {block.line} or after", "lines that cannot be told apart"
        raise DataError(explain(what, got=got, expected="a CSV", fix="write the file again"))
    columns, bad = {}, []
    for name, kind in kinds.items():
        column = table.column(name).combine_chunks()
        if kind == pa.float64():
            trimmed = pc.utf8_trim_whitespace(column)
            tally.add("trimmed", name, pc.sum(pc.not_equal(column, trimmed)).as_py() or 0)
            filled = pc.if_else(
                pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(_NO_NUMBER)), pa.scalar(None, pa.string()), trimmed
            )
            row = _first_bad(filled)
            if row is not None:
                bad.append((row, header.names.index(name), name, filled[row].as_py()))
                continue
            column = filled.cast(pa.float64())
        columns[name] = column
    if bad:
        row, _, name, text = min(bad)
        fix = "correct the cell, or drop the line"
        if re.fullmatch(r"[-+]?\d{1,3}([.,' ]\d{3})+([.,]\d*)?|[-+]?\d*,\d+([eE][-+]?\d+)?", text):
            fix = "write numbers with a decimal point, and nothing between thousands (1234567.5)"
        raise cell_error(path, int(lines[row]), name, got=repr(text), expected="a number", fix=fix)
    return pa.table(columns)


def _ragged_error(path: Path, line: int, row: pyarrow.csv.InvalidRow, header: Header) -> DataError:
    got, fix = f"{row.actual_columns} cells", "correct or drop the line"
    if row.actual_columns == row.expected_columns + 1 and row.text.rstrip().endswith(header.separator):
        got, separator = f"{got}, the last one empty", header.separator.replace("\t", "\\t")
        fix = (
            f"take the separator from the end; of all lines: sed '2,$s/{separator}\\r*$//' {path.name} > corrected.csv"
        )
    expected = f"{row.expected_columns}, as the header has"
    return DataError(explain(f"{path}, line {line}", got=got, expected=expected, fix=fix))


def _ragged_line(block: Block, row: pyarrow.csv.InvalidRow) -> int:
    # Its number counts lines with anything in them, be it blanks.
    filled = [offset for offset, line in enumerate(block.content.split(b"\n")) if line.strip(b"\r")]
    return block.line + filled[min(int(row.number or 1), len(filled)) - 1]


def _first_bad(column: pa.StringArray) -> int | None:
    """The first row that is no number, by halving."""
    if _castable(column):
        return None
    first, last = 0, len(column)
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (first, middle) if not _castable(column.slice(first, middle - first)) else (middle, last)
    return first


def _castable(column: pa.StringArray) -> bool:
    try:
        column.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _texts(column: pa.ChunkedArray, name: str, tally: Tally) -> Texts:
    """Levels that differ only in blanks round them become one."""
    array = column.combine_chunks()
    found = array.dictionary.to_pylist()
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    stripped = [level.strip() for level in found]
    if stripped == found:
        return Texts(levels=tuple(found), codes=codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    changed = [level != raw for level, raw in zip(stripped, found, strict=True)]
    tally.add("trimmed", name, int(counts[changed].sum()))
    levels = tuple(dict.fromkeys(level for level in stripped if level not in _NOTHING))
    position = {level: index for index, level in enumerate(levels)}
    lookup = np.array([position.get(level, -1) for level in stripped] + [-1], np.int32)
    return Texts(levels=levels, codes=lookup[codes])
