"""From a source's name to checked series.

A source is `series:digits`, `series:NAME` (a set that ships with aeon), a `.ts` file (with a pair NAME_TRAIN.ts and
NAME_TEST.ts either stands for both) or a folder with such, an `.npz`, a Parquet file or a folder of such, a folder of
`.wav` files, or a hub repository (`owner/name`, or `owner/name:config`) with columns of lists.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from collabdm.data.samples import Dataset
from collabdm.data.series.archive import read_archive
from collabdm.data.series.bundled import DIGITS, PREFIX, bundled_files, digits_series
from collabdm.data.series.lists import has_lists, read_hub, read_parquet
from collabdm.data.series.raw import WHOLE, Choose, RawSeries, chosen_parts, settled_parts
from collabdm.data.series.sounds import holds_sounds, read_sounds
from collabdm.data.series.stored import declared_series
from collabdm.data.series.ts_file import read_ts
from collabdm.data.splits import split_of
from collabdm.errors import DataError, DataWarning, explain

__all__ = ["is_series_source", "read_series"]

_ON_HUB = r"[A-Za-z0-9][\w.-]*/[\w.-]+"


def is_series_source(source: str) -> bool:
    """Whether a source can be nothing but series: by its name, or by the files in it. An `.npz` may be anything."""
    if source.startswith(PREFIX):
        return True
    path = Path(source).expanduser()
    if path.is_dir():
        tables = _series_tables(path)
        return any(path.glob("*.ts")) or holds_sounds(path) or bool(tables and has_lists(tables[0]))
    ending = path.suffix.lower()
    return ending == ".ts" or (ending == ".parquet" and path.is_file() and has_lists(path))


def read_series(source: str, splits: Sequence[str]) -> Dataset:
    """Series of a source, as the head of this module says, each [C, T], NaN after the ends of shorter ones.

    A source that names no parts is whichever one split is asked for. What is declared of them is their size, that of
    the longest; each is standardised by itself.

    Raises:
        DataError: unknown, unreadable or unusable data; the message says which.
    """
    choose = partial(chosen_parts, source, splits)
    raw = _read(source, choose)
    chosen = choose(raw.parts)
    samples = settled_parts(source, raw, chosen)
    first = next(iter(samples.values()))
    channels, length = first.shape
    for split, own in samples.items():
        if own.shape[0] != channels:
            expected, fix = f"{channels}, as in the other part", "bring both parts to the same channels"
            what = f"channels of {source} ({split})"
            raise DataError(explain(what, got=own.shape[0], expected=expected, fix=fix))
    empty = first.take([])
    train, test = (samples.get(split, empty) for split in ("train", "test"))
    columns = raw.parts[chosen["train"]].columns if "train" in chosen else {}
    preset = declared_series(
        raw.name, first.classes, channels=channels, length=length, most=raw.most, **dict(raw.facts)
    )
    reading = _reading(source, raw, {split: len(own) for split, own in samples.items()})
    return Dataset(name=raw.name, train=train, test=test, preset=preset, columns=columns, reading=reading)


def _reading(source: str, raw: RawSeries, read: Mapping[str, int]) -> Mapping[str, Any]:
    if raw.passed:
        counts = ", ".join(f"{number} {split}" for split, number in read.items())
        left = ", ".join(f"{number} x {what}" for what, number in raw.passed.items())
        warnings.warn(DataWarning(f"{source}: read {counts} series; passed over {left}"), stacklevel=4)
    return {"read": dict(read), "passed_over": dict(raw.passed)}


def _read(source: str, choose: Choose) -> RawSeries:
    if source == DIGITS:
        return digits_series()
    if source.startswith(PREFIX):
        return _of_ts_files(source.removeprefix(PREFIX), bundled_files(source), choose)
    path = Path(source).expanduser()
    ending = path.suffix.lower()
    if path.is_dir():
        return _read_folder(path, choose)
    if path.is_file() and ending == ".ts":
        return _of_ts_files(*_beside(path), choose)
    if path.is_file() and ending == ".npz":
        return read_archive(path, choose)
    if path.is_file() and ending == ".parquet":
        return read_parquet(path.stem, [path], choose)
    repository, _, config = source.partition(":")
    if not path.exists() and re.fullmatch(_ON_HUB, repository) and not ending:
        return read_hub(repository, repository.split("/")[1], config or None, choose)
    got = "a file of another kind" if path.exists() else "no such file or folder"
    expected = f"{PREFIX}NAME, a .ts file, an .npz, Parquet files, a folder of .wav files, or a hub repository"
    raise DataError(explain(f"series {source}", got=got, expected=expected, fix="check the name or the path"))


def _read_folder(folder: Path, choose: Choose) -> RawSeries:
    name = folder.resolve().name
    if found := _ts_files(folder):
        return _of_ts_files(name, found, choose)
    if tables := _series_tables(folder):
        return read_parquet(name, tables, choose)
    return read_sounds(folder, choose)


def _series_tables(folder: Path) -> list[Path]:
    """Parquet files, and those of a distilled set's folder, which its card declares for other programs."""
    inside = folder / "series"
    of_set = (folder / "distilled.safetensors").is_file() and inside.is_dir()
    return sorted((inside if of_set else folder).glob("*.parquet"))


def _ts_files(folder: Path) -> dict[str, Path]:
    """The `.ts` files of a folder by part. Raises `DataError` where there are several of one."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.ts")):
        part = split_of(path.stem) or WHOLE
        if part in found:
            got, fix = f"{found[part].name} and {path.name}", "give the file to read, or a folder of one data set"
            raise DataError(explain(f"folder {folder}", got=got, expected="one .ts file for each part", fix=fix))
        found[part] = path
    return found


def _beside(path: Path) -> tuple[str, dict[str, Path]]:
    """(name, files by part): the file itself, and the other of a pair where it is beside it."""
    part = split_of(path.stem)
    if part is None:
        return path.stem, {WHOLE: path}
    files = {part: path}
    for other in ("train", "test"):
        for word in (other, other.upper(), other.title()):
            pair = path.with_stem(re.sub(r"train|test", word, path.stem, flags=re.IGNORECASE))
            if other != part and pair.is_file():
                files.setdefault(other, pair)
    return re.sub(r"[-_.]?(train|test)$", "", path.stem, flags=re.IGNORECASE) or path.stem, files


def _of_ts_files(name: str, files: Mapping[str, Path], choose: Choose) -> RawSeries:
    read = {part: read_ts(files[part]) for part in dict.fromkeys(choose(files).values())}
    declared = dict.fromkeys(names for _, names in read.values() if names is not None)
    classes = next(iter(declared)) if len(declared) == 1 else None
    return RawSeries(name=name, classes=classes, parts={part: one for part, (one, _) in read.items()})
