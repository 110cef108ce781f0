"""Compiled code that was kept for the next process: taken only if it is ours and whole, because it will be run.

A kept file ends with the SHA-256 of its name and of all before, so nothing can come between the two. What is checked is
what is loaded: the bytes are read once, from a file opened once, and `opened` loads a private copy of them. Nobody can
change that copy, and a file that is cut short later cannot stop a process that uses it.
"""

import ctypes
import hashlib
import os
import stat
import tempfile
from pathlib import Path

__all__ = ["CacheError", "cache_folder", "keep", "kept", "opened"]

_DIGEST = hashlib.sha256().digest_size
_LARGEST = 2**26


class CacheError(Exception):
    """Why something kept cannot be used, or cannot be kept: the end of a sentence about it."""


def cache_folder() -> Path:
    """Where the user's compiled code is kept. Raises `CacheError` where the user has no home."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (given if given.is_absolute() else Path.home() / ".cache") / "collabdm"
    except RuntimeError:
        raise CacheError("there is no home directory") from None


def kept(folder: Path, name: str) -> bytes | None:
    """What was kept under the name, without its checksum; None where nothing was.

    Raises `CacheError` where folder or file could be somebody else's, or the file is not what was written.
    """
    try:
        _check_own(os.stat(folder), "its folder")
        # Neither through a link, nor waiting for what is no file.
        file = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            content = _own_content(file)
        finally:
            os.close(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CacheError(f"it cannot be read ({error.strerror})") from error
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    if digest != _digest(name, body):
        raise CacheError("it is damaged: its checksum is wrong")
    return body


def keep(folder: Path, name: str, body: bytes) -> None:
    """Keep `body` under the name, whole or not at all, for this user only. Raises `CacheError` where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = os.stat(folder)
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
            os.chmod(folder, 0o700)
            found = os.stat(folder)
        _check_own(found, "the folder")
        file, building = tempfile.mkstemp(dir=folder)  # mode 0600
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(body + _digest(name, body))
                stream.flush()
                os.fsync(file)
            os.replace(building, folder / name)
        except BaseException:
            os.unlink(building)
            raise
    except OSError as error:
        raise CacheError(f"it cannot be written ({error.strerror})") from error


def opened(body: bytes) -> ctypes.CDLL:
    """The shared library whose bytes these are. Raises `OSError`."""
    try:
        # Never closed: the loader takes a second library of the same path for the first.
        file = os.memfd_create("collabdm-kernels")
        with os.fdopen(os.dup(file), "wb") as stream:
            stream.write(body)
        return ctypes.CDLL(f"/proc/self/fd/{file}")
    except (OSError, AttributeError):  # no such files, no /proc, or memory that may not be run
        with tempfile.TemporaryDirectory() as private:
            path = Path(private, "kernels.so")
            path.write_bytes(body)
            return ctypes.CDLL(str(path))


def _own_content(file: int) -> bytes:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
        raise CacheError("it is no such file")
    _check_own(found, "it")
    with os.fdopen(file, "rb", closefd=False) as stream:
        return stream.read(_LARGEST)


def _check_own(found: os.stat_result, what: str) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise CacheError(f"{what} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise CacheError(f"{what} may be written by other users")


def _digest(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + body).digest()
