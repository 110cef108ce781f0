"""Where a block of lines is no CSV: the first line and column at which it cannot be read."""

from pathlib import Path

from collabdm.data.flows.csv_blocks import Block, Header
from collabdm.data.flows.encodings import not_utf8
from collabdm.errors import DataError, explain

__all__ = ["Fault", "cell_error", "first_fault"]

_LONGEST = 100


class Fault:
    """A line that is no row of a CSV; `error` says why."""

    def __init__(self, line: int, error: DataError) -> None:
        self.line, self.error = line, error


def first_fault(path: Path, block: Block, header: Header) -> Fault | None:
    """The first line with a NUL, a byte that is not UTF-8, a carriage return inside, or a quote left open; or None."""
    for offset, text in enumerate(block.content.split(b"\n")):
        found = _fault(path, text)
        if found:
            at, got, expected, fix = found
            column = header.names[min(text[:at].count(header.separator.encode()), len(header.names) - 1)]
            line = block.line + offset
            return Fault(line, cell_error(path, line, column, got=got, expected=expected, fix=fix))
    return None


def cell_error(path: Path, line: int, column: str, *, got: str, expected: str, fix: str) -> DataError:
    """The error of one cell; of a very long one its beginning."""
    shown = got if len(got) <= _LONGEST else f"{got[:_LONGEST]}..."
    return DataError(explain(f"{path}, line {line}, column {column}", got=shown, expected=expected, fix=fix))


def _fault(path: Path, text: bytes) -> tuple[int, str, str, str] | None:
    """Where in a line, what was got, what was expected, and the fix."""
    if b"\0" in text:
        return text.index(b"\0"), "a NUL byte", "text", "write the file again: it is damaged"
    if b"\r" in text.removesuffix(b"\r"):
        at = text.index(b"\r")
        return at, "a carriage return within a line", "one kind of line ends", "convert them: tr '\\r' '\\n'"
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        got, fix = not_utf8(path, text, error)
        return error.start, got, "UTF-8", fix
    if text.count(b'"') % 2:
        return text.index(b'"'), "a quote that is not closed on its line", "a flow a line", "correct or drop the line"
    return None
