"""Reading a file that may be anyone's: only a regular one, only so many bytes of it, and only JSON that says one thing.

A pipe would be waited for without end, a device read without end, and of two equal keys one reader takes the first and
another the last.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["MOST_JSON", "no_number", "opened_regular", "read_text", "regular_bytes", "strict_json"]

MOST_JSON = 256 * 2**20
"""Bytes of the largest JSON file that is read: the record of a long round has some millions of numbers."""

_PIECE = 2**20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def opened_regular(path: Path) -> Iterator[BinaryIO]:
    """The file, open to be read. Raises `OSError`, also for a pipe, a device, a socket or a folder; never waits."""
    # Without O_NONBLOCK, opening a pipe waits until somebody writes into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a regular file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        yield file


def regular_bytes(path: Path, most: int) -> bytes:
    """All of a regular file of at most `most` bytes. Raises `OSError`, whose `strerror` says what it is instead."""
    content = bytearray()
    with opened_regular(path) as file:
        # Piece by piece: one large read would take memory for `most` bytes, however small the file.
        while len(content) <= most and (piece := file.read(_PIECE)):
            content += piece
    if len(content) > most:
        raise OSError(errno.EFBIG, f"more than {most:,} bytes", str(path))
    return bytes(content)


def read_text(path: Path, most: int) -> str:
    """The text of a regular file of at most `most` bytes, in UTF-8, without a byte order mark.

    Raises `OSError`, and `ValueError` for anything else than UTF-8, saying what it is.
    """
    return _text_of(regular_bytes(path, most))


def strict_json(text: bytes | str) -> Any:
    """The one value that the text, in UTF-8, says.

    Raises `ValueError`, which says what it is instead, where it is no JSON, is nested too deeply, names a key twice in
    one object, or has NaN or an infinity for a number.
    """
    try:
        decoded = text if isinstance(text, str) else _text_of(text)
        return json.loads(decoded, object_pairs_hook=_each_key_once, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    except (_AmbiguousError, _NoTextError):
        raise
    except ValueError as error:
        raise ValueError(f"no JSON ({str(error)[:100]})") from None


def no_number(given: Any, read: Any) -> tuple[str, object] | None:
    """The first place, as `a.0.b`, where `read` has a number and the JSON `given` that it was read from has none.

    With what stands there; None where there is no such place. pydantic takes `true` and `"1"` for 1.
    """
    waiting: list[tuple[str, Any, Any]] = [("", given, read)]
    while waiting:
        place, one, other = waiting.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            waiting += [(f"{place}.{key}", value, other[key]) for key, value in one.items() if key in other]
        elif isinstance(one, list) and isinstance(other, list | tuple):
            waiting += [(f"{place}.{i}", *pair) for i, pair in enumerate(zip(one, other, strict=False))]
        elif type(other) in (int, float) and type(one) not in (int, float):
            return place.removeprefix("."), one
    return None


class _NoTextError(ValueError):
    """It is no text in UTF-8."""


class _AmbiguousError(ValueError):
    """It is JSON, and still does not say one thing."""


def _text_of(content: bytes) -> str:
    # People write these files with any editor: some put a byte order mark first, and some write UTF-16.
    if content.startswith(_UTF16):
        raise _NoTextError("text in UTF-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _NoTextError(f"byte 0x{content[error.start]:02x} in line {line}, which is not UTF-8") from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise _AmbiguousError(f"JSON with the key {twice[:80]!r} twice")
    return found


def _no_constant(constant: str) -> None:
    raise _AmbiguousError(f"JSON with {constant} for a number")
