"""What the `datasets` library needs of us: paths that it does not take for patterns, and a cache to write."""

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from collabdm.data.splits import split_of
from collabdm.errors import DataError, explain

if TYPE_CHECKING:
    import datasets

__all__ = ["is_plain", "plain_path", "tables_in", "unreadable"]

_NO_ROOM = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


def is_plain(source: str) -> bool:
    """Whether the library reads the path of a folder as that path; what is no folder is left to it."""
    return not os.path.isdir(source) or re.fullmatch(r"[\w./ ,=+@~-]*", os.path.realpath(source)) is not None


def tables_in(folder: Path) -> "dict[str, datasets.Dataset]":
    """The parquet files of a folder that is not `is_plain`, by split, which the library cannot find there.

    The name of a file tells its split, or that of a folder above it; else it is of the train part.
    """
    import datasets
    from datasets.table import InMemoryTable
    from pyarrow.parquet import read_table

    by_split: dict[str, list[datasets.Dataset]] = {}
    for file in sorted(folder.rglob("*.parquet")):
        names = (file.stem, *reversed(file.relative_to(folder).parent.parts))
        split = next((split for split in map(split_of, names) if split is not None), "train")
        by_split.setdefault(split, []).append(datasets.Dataset(InMemoryTable(read_table(file))))
    if not by_split:
        expected = "a name without [ ] * ? { } : % # and the like, where the data are no images and no parquet"
        raise DataError(explain("path of the data", got=folder, expected=expected, fix="rename the folder"))
    return {split: datasets.concatenate_datasets(parts) for split, parts in by_split.items()}


def plain_path(source: str) -> str:
    """The path of saved data as it is, or of a link to it in the library's cache where its name has characters that the
    library reads as patterns (`[v2]`, `*`) or as parts of an address (`::`). The same folder has the same link."""
    import datasets.config

    whole = os.path.realpath(source)
    if is_plain(source):
        return source
    link = Path(datasets.config.HF_DATASETS_CACHE) / "collabdm" / hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        own = link.with_name(f".{link.name}.{os.getpid()}")
        own.symlink_to(whole, target_is_directory=True)
        own.replace(link)
    return str(link)


def unreadable(source: str, error: Exception) -> DataError:
    """In one line, why the library gave up; where its cache is at fault and not the data, that."""
    import datasets.config

    cause = error.__cause__ or error  # the library wraps what went wrong
    cache = str(datasets.config.HF_DATASETS_CACHE)
    for one in (error, cause):
        place = str(getattr(one, "filename", None) or "")
        # Without a name of a file it is the cache too: of the data the library names the file.
        if isinstance(one, OSError) and one.errno in _NO_ROOM and (not place or _within(place, cache)):
            fix = "set HF_DATASETS_CACHE (or HF_HOME) to a folder that this user may write, with room for the data"
            got, expected = one.strerror or str(one), "a folder that can be written"
            return DataError(explain(f"cache of the datasets library, {cache}", got=got, expected=expected, fix=fix))
    message = " ".join(f"{type(cause).__name__}: {cause}".split())
    local = os.path.isdir(source)
    fix = "check the name (owner/name, or owner/name:config) and the network, or point to a local folder"
    return DataError(
        explain(
            f"data set {source}",
            # Of a long one the library tells the data at the beginning, and what is wrong at the end.
            got=message if len(message) <= 300 else f"{message[:180]} ... {message[-120:]}",
            expected="a folder (parquet, images) that datasets.load_dataset reads"
            if local
            else "a hub repository that datasets.load_dataset reads",
            fix="mend or remove the file it names, or write the data again" if local else fix,
        )
    )


def _within(place: str, cache: str) -> bool:
    """Whether a place is the cache, lies in it, or is a folder above it that could not be made."""
    place, cache = os.path.abspath(place), os.path.abspath(cache)
    return os.path.commonpath((place, cache)) in (place, cache)
