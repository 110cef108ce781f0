"""Writing files so that a killed process never leaves half of one."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_atomically", "write_json", "written_atomically"]


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
