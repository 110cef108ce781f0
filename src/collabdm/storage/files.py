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
from collabdm.storage.reading import MOST_JSON, regular_bytes, strict_json

__all__ = [
    "built_folder",
    "private_folder",
    "read_json",
    "sweep",
    "write_atomically",
    "write_json",
    "written_atomically",
]

_KINDS = {dict: "an object", list: "a list"}


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path` as `written_atomically` does."""
    with written_atomically(path, private=private) as file:
        file.write(content)


@contextmanager
def written_atomically(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file under a temporary name beside `path`, flushed to disk and renamed at the end of the block.

    Readers see the old file or the new one, never a part. Parent folders are made. What is `private` (a contribution,
    an intermediate result) only its owner may read.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        # Before a byte is in it: a mode that is set later comes too late for who has opened the file.
        mode = 0o600 if private else 0o666
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def built_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """A new folder to fill, which becomes `folder` at the end, and nothing where filling it fails; with `replace`, what
    was at `folder` goes then."""
    building = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        yield building
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def private_folder(path: Path) -> Path:
    """The folder, made where there is none; only its owner may look into it. Parent folders are made."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_json(path: Path, value: object) -> None:
    """Indented JSON, atomically; NaN is refused, so that any reader can parse it."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def read_json(path: Path, kind: type = object) -> Any:
    """The JSON in a file that CollabDM wrote: with `kind` a `dict` or a `list`, without it whatever it is.

    Raises `RunFolderError` where that is not what it holds: disks fill, and people edit.
    """
    try:
        tree = strict_json(regular_bytes(path, MOST_JSON))
    except OSError as error:
        raise _damaged(path, error.strerror or type(error).__name__) from None
    except ValueError as error:
        raise _damaged(path, str(error)[:200] or type(error).__name__) from None
    if not isinstance(tree, kind):
        raise _damaged(path, f"{tree!r}"[:80], _KINDS[kind])
    return tree


def sweep(folder: Path, *, below: bool = True) -> None:
    """Remove what killed writers left half-built in `folder` and anywhere `below`; nobody else may be writing there."""
    for pattern in (".*.part", ".*.old"):
        for path in list(folder.rglob(pattern) if below else folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _damaged(path: Path, got: str, expected: str = "what CollabDM writes there") -> RunFolderError:
    fix = "restore the file, or run it again into a new folder"
    return RunFolderError(explain(f"{path}", got=got, expected=expected, fix=fix))
