"""A CSV file, plain or packed, in blocks of whole lines: memory is bounded, and every line keeps its number."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from collabdm.data.flows.encodings import not_utf8
from collabdm.data.flows.unpacking import opened
from collabdm.errors import DataError, explain

__all__ = ["Block", "Header", "csv_blocks", "read_header"]

BLOCK = 4 << 20
_LONGEST_LINE = 1 << 20
_MARK = b"\xef\xbb\xbf"
_SEPARATORS = ",;\t|"


@dataclass(frozen=True, kw_only=True)
class Block:
    """Whole lines of a file, the first of which is line `line` (the header is line 1)."""

    line: int
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Header:
    """The names of the columns, what separates cells, and the line itself without blanks round it."""

    names: tuple[str, ...]
    separator: str
    line: bytes


def csv_blocks(path: Path) -> Iterator[Block]:
    """The header line alone, then all others in blocks of about four megabytes.

    Raises:
        DataError: no such file, unreadable, truncated, empty, or text that is not UTF-8.
    """
    with opened(path) as file:
        yield from _blocks(path, file)


def read_header(path: Path, block: Block) -> Header:
    """The header in the first line. Cells are separated by commas, or by semicolons, tabs or bars where these make more
    cells of it.

    Names are without blanks round them; an empty one becomes `Unnamed: <position>`, as pandas has it.
    """
    try:
        text = block.content.decode("utf-8").strip("\r\n")
    except UnicodeDecodeError as error:
        got, fix = not_utf8(path, block.content, error)
        raise _no_text(path, got, fix=fix) from None
    if "\r" in text or not text:
        got = "carriage returns alone as line ends" if text else "an empty line"
        fix = "save it as a CSV with a header line"
        raise DataError(explain(f"{path}, line 1", got=got, expected="the names of the columns", fix=fix))
    try:
        rows = {separator: next(csv.reader([text], delimiter=separator), []) for separator in _SEPARATORS}
    except csv.Error as error:
        raise _no_text(path, f"a header that cannot be read ({error})", fix="check the file") from None
    separator = max(rows, key=lambda one: len(rows[one]))
    names = tuple(cell.strip() or f"Unnamed: {position}" for position, cell in enumerate(rows[separator]))
    return Header(names=names, separator=separator, line=block.content.strip())


def _blocks(path: Path, file: BinaryIO) -> Iterator[Block]:
    first = file.read(BLOCK)
    if not first.strip():
        raise DataError(
            explain(f"{path}, line 1", got="an empty file", expected="the names of the columns", fix="check the file")
        )
    header, _, rest = first.removeprefix(_MARK).partition(b"\n")
    if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
        fix = f"convert the file: iconv -f UTF-16 -t UTF-8 {path.name} > utf8.csv"
        raise _no_text(path, "text in UTF-16", fix=fix)
    if b"\0" in header:
        raise _no_text(path, "NUL bytes: UTF-16, or no text at all", fix="give a CSV, saved as UTF-8")
    yield Block(line=1, content=header)
    line = 2
    while more := file.read(BLOCK):
        end = (rest + more).rfind(b"\n") + 1
        whole, rest = (rest + more)[:end], (rest + more)[end:]
        if len(rest) > _LONGEST_LINE:
            got, expected = f"a line of more than {_LONGEST_LINE} bytes", "a flow a line"
            raise DataError(explain(f"{path}, line {line}", got=got, expected=expected, fix="check the line ends"))
        if whole:
            yield Block(line=line, content=whole)
            line += whole.count(b"\n")
    if rest:
        yield Block(line=line, content=rest)


def _no_text(path: Path, got: str, *, fix: str) -> DataError:
    return DataError(explain(f"{path}, line 1", got=got, expected="a CSV in UTF-8", fix=fix))
