"""Who works in a folder: one process alone, who comes second being told so at once, or several that know of each other.

Of folders within each other, only one is worked in alone. Several processes share a folder as `locked(shared=True)`:
each then holds alone what it works on, a folder within, and does at the `door` what concerns all of them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collabdm.errors import FolderBusyError, RunFolderError, explain
from collabdm.storage.lock_files import SECONDS_BETWEEN_TRIES, acquired, alone_at, is_held, released

__all__ = ["DOOR", "LOCK", "door", "has_content", "is_locked", "locked"]

LOCK = ".collabdm.lock"
DOOR = ".collabdm.door"

# Who shares a folder and leaves holds it alone for a moment, to see whether it is the last.
_TRIES = 20
# What is done at the door takes milliseconds, on a slow network file system a second.
PATIENCE = 60.0


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the folder alone, or with others that share it, until the end of the block. It is made where it is absent,
    and then removed if it is left empty.

    Raises `FolderBusyError` where another process is at work in it alone or in one that it is within; unless it is
    `shared`, also where others share it, or one is at work in a folder within it. `RunFolderError` where it is no
    folder, or cannot be locked.
    """
    made = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(explain("--out", got=f"{folder}, a file", expected="a folder", fix="choose another --out"))
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = None
    try:
        descriptor = _taken(folder, shared=shared)
        _check_others(folder, within=not shared)
        yield
    finally:
        if descriptor is not None:
            released(folder / LOCK, descriptor)
        with suppress(OSError):  # the first that is not empty
            for path in made:
                path.rmdir()


@contextmanager
def door(folder: Path) -> Iterator[None]:
    """Among those who share a folder, one after another: for what takes no time. Raises `FolderBusyError` after a
    minute."""
    with alone_at(folder / DOOR, patience=PATIENCE):
        yield


def is_locked(folder: Path) -> bool:
    """Whether somebody holds the folder alone."""
    return is_held(folder / LOCK)


def has_content(folder: Path) -> bool:
    """Whether the folder holds anything but locks."""
    return any(path.name not in (LOCK, DOOR) for path in folder.iterdir())


def _taken(folder: Path, *, shared: bool) -> int:
    """The locked file, open."""
    for _ in range(_TRIES if shared else 1):
        descriptor = acquired(folder / LOCK, shared=shared)
        if descriptor is not None:
            return descriptor
        if shared:
            time.sleep(SECONDS_BETWEEN_TRIES)
    raise _busy(folder)


def _check_others(folder: Path, *, within: bool) -> None:
    """After the own lock was taken: of two that come at once, at least one sees the other."""
    real = folder.resolve()
    for above in real.parents:
        if is_held(above / LOCK):
            raise _busy(above)
    for path in real.rglob(LOCK) if within else ():
        if path.parent != real and is_held(path, shared=True):
            raise _busy(path.parent)


def _busy(folder: Path) -> FolderBusyError:
    fix = "wait until it has finished, or choose another --out"
    return FolderBusyError(explain(f"{folder}", got="another run at work there", expected="none", fix=fix))
