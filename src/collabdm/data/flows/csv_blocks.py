"""A CSV file, plain or gzipped, in blocks of whole lines: memory is bounded, and every line keeps its number."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from collabdm.errors import DataError, explain
from collabdm.storage.reading import opened_regular

__all__ = ["Block", "column_names", "csv_blocks"]

BLOCK = 4 << 20
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Block:
    """Whole lines of a file, the first of which is line `line` (the header is line 1)."""

    line: int
    content: bytes


def csv_blocks(path: Path) -> Iterator[Block]:
    """The header line alone, then all others in blocks of about four megabytes.

    Raises:
        DataError: no such file, unreadable, truncated, empty, or text that is not UTF-8.
    """
    try:
        with opened_regular(path) as plain:
            compressed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if compressed else path.open("rb") as file:
            yield from _blocks(path, file)  # pyright: ignore[reportArgumentType]
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        expected = "a readable .csv or .csv.gz"
        raise DataError(explain(f"flows {path}", got=reason, expected=expected, fix="check the file")) from None


def column_names(path: Path, header: Block) -> list[str]:
    """Names without blanks round them; an empty one becomes `Unnamed: <position>`, as pandas has it."""
    try:
        text = header.content.decode("utf-8").strip("\r\n")
    except UnicodeDecodeError as error:
        got = f"byte 0x{header.content[error.start]:02x}, which is not UTF-8"
        raise _no_text(path, got, fix="convert the file: iconv -f LATIN1 -t UTF-8") from None
    try:
        cells = next(csv.reader([text]), []) if "\r" not in text else []
    except csv.Error as error:
        raise _no_text(path, f"a header that cannot be read ({error})", fix="check the file") from None
    names = [cell.strip() or f"Unnamed: {position}" for position, cell in enumerate(cells)]
    if not cells:
        got = "carriage returns alone as line ends" if "\r" in text else "an empty line"
        fix = "save it as a CSV with a header line"
        raise DataError(explain(f"{path}, line 1", got=got, expected="the names of the columns", fix=fix))
    return names


def _blocks(path: Path, file: BinaryIO) -> Iterator[Block]:
    first = file.read(BLOCK)
    if not first.strip():
        raise DataError(
            explain(f"{path}, line 1", got="an empty file", expected="the names of the columns", fix="check the file")
        )
    if first.startswith(b"PK\x03\x04"):
        raise _no_text(path, "a ZIP archive", fix="unpack it, and give the file in it")
    header, _, rest = first.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    if first[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in header:
        raise _no_text(path, "UTF-16, or no text at all", fix="convert the file: iconv -f UTF-16 -t UTF-8")
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
