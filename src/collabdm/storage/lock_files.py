"""Lock files: the kernel's lock (`flock`) on an empty file, so that a process that is killed lets go of it.

The file is removed with the lock; one that a kill left is taken over.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collabdm.errors import FolderBusyError, RunFolderError, explain

__all__ = ["acquired", "alone_at", "is_held", "released"]

# Between opening a lock file and locking it, who held it may have removed it.
_TRIES = 20
SECONDS_BETWEEN_TRIES = 0.02


def acquired(path: Path, *, shared: bool = False) -> int | None:
    """The locked file, open; None where somebody else holds it. With `shared`, others may hold it so too.

    Raises `RunFolderError` where there can be no such file, or no lock on it.
    """
    for _ in range(_TRIES):
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            fix = "choose an --out on a file system that has locks"
            raise RunFolderError(explain(f"{path}", got=error.strerror, expected="a lock", fix=fix)) from error
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)
    return None


def released(path: Path, descriptor: int) -> None:
    """Let go of what `acquired` gave; the last who holds it removes the file."""
    # The folder may have been renamed meanwhile, and another be in its place.
    if _is_at(path, descriptor) and not os.fstat(descriptor).st_size:
        with suppress(OSError):  # others share it still, and remove it
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    os.close(descriptor)


def is_held(path: Path, *, shared: bool = False) -> bool:
    """Whether somebody holds the file `path` alone, or (with `shared`) at all."""
    kind, mode = (fcntl.LOCK_EX, os.O_RDWR) if shared else (fcntl.LOCK_SH, os.O_RDONLY)
    try:
        descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


@contextmanager
def alone_at(
    path: Path, *, patience: float | None = None, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the file alone until the end of the block, after whoever holds it now; `waiting` is called while it waits.

    Raises `FolderBusyError` after `patience` seconds.
    """
    begun = time.monotonic()
    while (descriptor := acquired(path)) is None:
        waiting()
        if patience is not None and time.monotonic() - begun >= patience:
            got, fix = f"held by another process for {patience:g} s", "end the process that hangs there, and try again"
            raise FolderBusyError(explain(f"{path}", got=got, expected="a lock that is soon free", fix=fix))
        time.sleep(SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        released(path, descriptor)


def _opened(path: Path) -> int:
    """Made where it is absent; what somebody keeps under that name is neither emptied nor followed."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fix = "remove it, or choose another --out"
        raise RunFolderError(explain(f"{path}", got=error.strerror, expected="a file of ours", fix=fix)) from error


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there, own = os.lstat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
