"""The image files below a folder or in an archive, through links, and what lies beside them.

Every ending that Pillow reads is read; a file of another ending is looked into. What systems and tools leave behind is
passed over by its name and counted.
"""

import os
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from collabdm.errors import DataError, explain

__all__ = ["Found", "Parts", "files_in_archive", "files_in_folder", "is_archive"]

Parts = tuple[str, ...]
"""Folders below the source, and a name."""

# Pillow runs another program for EPS, and knows the others by name only.
_FORMATS_LEFT_OUT = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF", "FITS"}
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")

_LEFT_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".directory", ".picasa.ini"}
_LEFT_FILES |= {".gitkeep", ".gitignore", ".gitattributes", ".keep", ".nomedia", ".dockerignore", ".dvcignore"}
_LEFT_FOLDERS = {"__macosx", ".ipynb_checkpoints", "@eadir", ".appledouble", ".spotlight-v100", ".fseventsd"}
_LEFT_FOLDERS |= {".git", ".svn", ".hg", ".dvc", ".cache", ".thumbnails", "__pycache__", ".trash", ".trashes"}
_LEFT_FOLDERS |= {"$recycle.bin", "system volume information", "lost+found", ".idea", ".vscode"}

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


@dataclass(frozen=True, kw_only=True)
class Found:
    """`images`: what `decode_images` takes, by place, in the order of the places. `folders`: all there are. `others`:
    files that are no images. `left`: how often what was passed over by its name was found."""

    images: dict[Parts, dict[str, object]] = field(default_factory=dict)
    folders: set[Parts] = field(default_factory=set)
    others: dict[Parts, Callable[[], bytes]] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)

    def in_order(self) -> "Found":
        """The same, with images and other files sorted by their places."""
        images, others = dict(sorted(self.images.items())), dict(sorted(self.others.items()))
        return Found(images=images, folders=self.folders, others=others, left=self.left)


def files_in_folder(folder: Path) -> Found:
    """What lies in a folder and below it; links are followed, except one to a folder that it lies in.

    Raises:
        DataError: a folder cannot be read, or a link leads nowhere.
    """
    found = Found()
    _walk(folder, (), (os.path.realpath(folder),), found)
    return found.in_order()


def files_in_archive(path: Path, below: Parts = ()) -> Found:
    """What a ZIP or tar archive holds, read whole; nothing is unpacked to disk. Places begin with `below`.

    Raises:
        DataError: no archive, a damaged one, or one that asks for a password.
    """
    found = Found()
    try:
        for name, read in _members(path):
            parts = tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", "."))
            left = next((part for part in parts[:-1] if _left_folder(part)), None)
            if left is not None:
                found.left[f"file in {left}"] += 1
            elif parts:
                content = read()
                found.folders.update((*below, *parts[:end]) for end in range(1, len(parts)))
                item = {"bytes": content, "path": None, "name": f"{path}: {name}"}
                _sort_in((*below, *parts), found, item, lambda content=content: content)
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        tarfile.TarError,
        NotImplementedError,
    ) as e:
        expected, fix = "a whole ZIP or tar archive without a password", "make the archive again, or unpack it"
        raise DataError(explain(f"archive {path}", got=str(e)[:200], expected=expected, fix=fix)) from None
    return found.in_order()


def is_archive(name: str) -> bool:
    """Whether a file's name is that of a ZIP or tar archive."""
    return name.lower().endswith((".zip", *_TAR))


def _members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename, lambda info=info: archive.read(info)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() or member.islnk() else None
            if file is not None:
                yield member.name, file.read


def _walk(folder: Path, parts: Parts, above: tuple[str, ...], found: Found) -> None:
    """`above`: the real places of the folder and of those that it lies in."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        fix = "give this user the right to read it, or move it out of the data"
        got = error.strerror or "an error"
        raise DataError(explain(f"folder {folder}", got=got, expected="a readable folder", fix=fix)) from None
    for entry in entries:
        place, path = (*parts, entry.name), Path(entry.path)
        try:
            kind = os.stat(path).st_mode
        except OSError:
            fix = "mend the link, or remove it"
            got = f"a link to {os.readlink(path)}" if entry.is_symlink() else "a file that cannot be reached"
            raise DataError(explain(str(path), got=got, expected="something there", fix=fix)) from None
        if not stat.S_ISDIR(kind):
            if stat.S_ISREG(kind):
                item: dict[str, object] = {"bytes": None, "path": str(path)}
                _sort_in(place, found, item, path.read_bytes, lambda path=path: _beginning(path))
            else:
                found.left["pipe, socket or device"] += 1
        elif _left_folder(entry.name):
            found.left[f"folder {entry.name}"] += 1
        elif (real := os.path.realpath(path)) in above:
            found.left["link to a folder that it lies in"] += 1
        else:
            found.folders.add(place)
            _walk(path, place, (*above, real), found)


def _sort_in(
    place: Parts,
    found: Found,
    item: dict[str, object],
    read: Callable[[], bytes],
    begin: Callable[[], bytes] | None = None,
) -> None:
    name = place[-1]
    if name.lower() in _LEFT_FILES or name.startswith("._"):
        found.left[name if not name.startswith("._") else "._ file of macOS"] += 1
    elif PurePosixPath(name).suffix.lower() in _endings() or _is_image((begin or read)()[:32]):
        found.images[place] = item
    else:
        found.others[place] = read


def _left_folder(name: str) -> bool:
    return name.lower() in _LEFT_FOLDERS or name.lower().startswith(".trash-")


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(32)
    except OSError as error:
        got, fix = error.strerror or "an error", "give this user the right to read it, or move it out of the data"
        raise DataError(explain(f"file {path}", got=got, expected="a readable file", fix=fix)) from None


def _is_image(beginning: bytes) -> bool:
    """Whether a file without a known ending begins as one of the usual kinds of images does."""
    webp = beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP"
    avif = beginning[4:12] in (b"ftypavif", b"ftypavis")
    return beginning.startswith(_BEGINNINGS) or webp or avif


@lru_cache(maxsize=1)
def _endings() -> frozenset[str]:
    from PIL import Image

    Image.init()
    read = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    out = {ending for ending, name in Image.registered_extensions().items() if name in _FORMATS_LEFT_OUT}
    return frozenset(read - out)
