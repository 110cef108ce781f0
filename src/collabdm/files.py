"""Writing files so that a killed process never leaves half of one."""

import json
import os
import secrets
import shutil
from pathlib import Path

__all__ = ["sweep", "write_atomically", "write_json"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` under a temporary name beside it, flush to disk, then rename.

    Readers see the old file or the new one, never a part. Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Indented JSON, atomically; NaN is refused, so that any reader can parse it."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def sweep(folder: Path) -> None:
    """Remove what killed writers left half-built anywhere in `folder`: nobody else may be writing there."""
    for pattern in (".*.part", ".*.old"):
        for path in list(folder.rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
