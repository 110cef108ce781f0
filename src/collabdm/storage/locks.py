"""One process at a time in a folder: who comes second is told so, and does not wait.

The lock is the kernel's (`flock`) on an empty file in the folder, so a process that is killed lets go of it. The file
is removed with the lock; one that a kill left is taken over. Of folders within each other, only one is worked in.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collabdm.errors import RunFolderError, explain

__all__ = ["LOCK", "has_content", "locked"]

LOCK = ".collabdm.lock"

# Between opening a lock file and locking it, who held it may have removed it.
_TRIES = 20


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone until the end of the block. It is made where it is absent, and then removed if it is left
    empty.

    Raises `RunFolderError` where another process is at work in it, in a folder within it or in one that it is within.
    """
    made = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(explain("--out", got=f"{folder}, a file", expected="a folder", fix="choose another --out"))
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = None
    try:
        descriptor = _taken(folder)
        _check_others(folder)
        yield
    finally:
        if descriptor is not None:
            _released(folder / LOCK, descriptor)
        with suppress(OSError):  # the first that is not empty
            for path in made:
                path.rmdir()


def has_content(folder: Path) -> bool:
    """Whether the folder holds anything but a lock."""
    return any(path.name != LOCK for path in folder.iterdir())


def _taken(folder: Path) -> int:
    """The locked file, open."""
    path = folder / LOCK
    for _ in range(_TRIES):
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise _busy(folder) from None
        except OSError as error:
            os.close(descriptor)
            fix = "choose an --out on a file system that has locks"
            raise RunFolderError(explain(f"{path}", got=error.strerror, expected="a lock", fix=fix)) from error
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)
    raise _busy(folder)


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


def _released(path: Path, descriptor: int) -> None:
    # The folder may have been renamed meanwhile, and another be in its place.
    if _is_at(path, descriptor) and not os.fstat(descriptor).st_size:
        with suppress(OSError):
            path.unlink()
    os.close(descriptor)


def _check_others(folder: Path) -> None:
    """After the own lock was taken: of two that come at once, at least one sees the other."""
    real = folder.resolve()
    for path in (*(above / LOCK for above in real.parents), *real.rglob(LOCK)):
        if path.parent != real and _is_held(path):
            raise _busy(path.parent)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _busy(folder: Path) -> RunFolderError:
    fix = "wait until it has finished, or choose another --out"
    return RunFolderError(explain(f"{folder}", got="another run at work there", expected="none", fix=fix))
