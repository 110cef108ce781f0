"""A file of flows as plain bytes, whatever packed it: gzip, bzip2, xz, or a ZIP archive of one file."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from collabdm.errors import DataError, explain
from collabdm.storage.reading import opened_regular

__all__ = ["opened"]

_ZIP = b"PK\x03\x04"
_PACKERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_UNREAD = {b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "RAR"}
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_NAMED = 5


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's content, unpacked as it is read. What packed it is told by its first bytes, not by its name.

    Raises `DataError` where it cannot be read to its end, or is an archive of several files.
    """
    try:
        with opened_regular(path) as file:
            first = file.read(6)
        if packer := next((name for start, name in _UNREAD.items() if first.startswith(start)), None):
            raise _unpack(path, f"a {packer} archive", fix="unpack it, and give the CSV in it")
        if first.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive, archive.open(_only_file(path, archive)) as member:
                yield cast(BinaryIO, member)
            return
        packed = next((how for start, how in _PACKERS.items() if first.startswith(start)), None)
        with packed(path, "rb") if packed else path.open("rb") as content:
            yield cast(BinaryIO, content)
    except (OSError, *_BROKEN) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        expected = "a readable .csv, also packed (.gz, .bz2, .xz, .zip)"
        raise DataError(explain(f"flows {path}", got=reason, expected=expected, fix="check the file")) from None


def _only_file(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file in it; macOS packs notes of its own beside it."""
    files = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    if len(files) != 1:
        named = ", ".join(one.filename for one in files[:_NAMED]) + (", ..." if len(files) > _NAMED else "")
        got = f"a ZIP archive of {len(files)} files{f' ({named})' if files else ''}"
        raise _unpack(path, got, fix="unpack it, and give one CSV of it")
    if files[0].flag_bits & 1:
        raise _unpack(path, "a ZIP archive with a password", fix="unpack it, and give the CSV in it")
    return files[0]


def _unpack(path: Path, got: str, *, fix: str) -> DataError:
    expected = "a CSV, plain, .gz, .bz2, .xz, or alone in a .zip"
    return DataError(explain(f"flows {path}", got=got, expected=expected, fix=fix))
