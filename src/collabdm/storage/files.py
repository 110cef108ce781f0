"""Writing files so that a killed process never leaves half of one, and reading them back."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from collabdm.errors import RunFolderError, explain
from collabdm.storage.text import read_text

__all__ = ["read_json", "sweep", "write_atomically", "write_json", "written_atomically"]

_KINDS = {dict: "an object", list: "a list"}


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` as `written_atomically` does."""
    with written_atomically(path) as file:
        file.write(content)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file under a temporary name beside `path`, flushed to disk and renamed at the end of the block.

    Readers see the old file or the new one, never a part. Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Indented JSON, atomically; NaN is refused, so that any reader can parse it."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def read_json(path: Path, kind: type = object) -> Any:
    """The JSON in a file that CollabDM wrote: with `kind` a `dict` or a `list`, without it whatever it is.

    Raises `RunFolderError` where that is not what it holds: disks fill, and people edit.
    """
    try:
        tree = json.loads(read_text(path), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)[:200] or type(error).__name__) from None
    if not isinstance(tree, kind):
        raise _damaged(path, f"{tree!r}"[:80], _KINDS[kind])
    return tree


def sweep(folder: Path) -> None:
    """Remove what killed writers left half-built anywhere in `folder`: nobody else may be writing there."""
    for pattern in (".*.part", ".*.old"):
        for path in list(folder.rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant}, which is no JSON")


def _damaged(path: Path, got: str, expected: str = "what CollabDM writes there") -> RunFolderError:
    fix = "restore the file, or run it again into a new folder"
    return RunFolderError(explain(f"{path}", got=got, expected=expected, fix=fix))
