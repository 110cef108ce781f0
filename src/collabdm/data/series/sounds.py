"""Reading folders of `.wav` files as series: a folder per class, or a table of labels beside them."""

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from collabdm.data.columns import label_named
from collabdm.data.metadata import as_column, is_metadata, metadata_rows, place_key
from collabdm.data.series.log_mel import BANDS, MOST_FRAMES, log_mel
from collabdm.data.series.raw import WHOLE, Choose, RawSeries, SeriesPart
from collabdm.data.series.stored import stacked
from collabdm.data.series.wave_file import NO_LENGTH, read_wave
from collabdm.data.splits import split_of
from collabdm.errors import DataError, DataWarning, explain, printable

__all__ = ["holds_sounds", "read_sounds"]

_ENDINGS = (".wav", ".wave")
_OTHER_SOUNDS = (".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".au")

# How far is looked for a first sound.
_MOST_LOOKED_AT, _DEEPEST = 5000, 3

Parts = tuple[str, ...]


def holds_sounds(folder: Path) -> bool:
    """Whether there is a `.wav` file among the first files of a folder, at most three folders down: a look that stays
    short in a folder of a million pictures, and at the root of a disk."""
    seen = 0
    for place, folders, files in os.walk(folder):
        if any(name.lower().endswith(_ENDINGS) and not name.startswith(".") for name in files):
            return True
        seen += len(files) + len(folders)
        if seen > _MOST_LOOKED_AT:
            return False
        deep = len(Path(place).relative_to(folder).parts) >= _DEEPEST
        folders[:] = [] if deep else [name for name in sorted(folders) if not name.startswith(".")]
    return False


def read_sounds(folder: Path, choose: Choose) -> RawSeries:
    """Sounds of the chosen parts as forty bands, frame by frame (`log_mel`), several channels of a recording as
    their mean.

    `train/CLASS/1.wav`, `CLASS/1.wav`, or files with a `metadata.csv` of `file_name` and `label`, whose other columns
    become columns. Recordings of another rate than 16,000 a second are brought to it, and those of over a minute cut,
    which is told.

    Raises:
        DataError: files that cannot be read, or whose class cannot be told.
    """
    everything = _files(folder)
    sounds = {place: path for place, path in everything.items() if path.suffix.lower() in _ENDINGS}
    tables = {place: path.read_bytes for place, path in everything.items() if is_metadata(place)}
    if not sounds:
        raise _no_sounds(folder, everything)
    told: Counter[str] = Counter()
    labels = _by_table(folder, sounds, tables) if tables else _by_folder(folder, sounds)
    told[_NO_LABEL] = len(sounds) - len(labels)
    rows = metadata_rows(str(folder), tables) if tables else {}
    known = {place_key(place) for place in sounds}
    told[_NO_SOUND] = sum(place not in known for place in rows)
    wanted = set(choose(dict.fromkeys(part for part, _ in labels.values())).values())
    labels = {place: one for place, one in labels.items() if one[0] in wanted}
    bands = _bands({place: sounds[place] for place in labels}, told)
    passed = {what: number for what, number in told.items() if number and what in _PASSED}
    for path in everything.values():
        if path.suffix.lower() in _OTHER_SOUNDS:
            what = f"{path.suffix.lower()} file, which is not read"
            passed[what] = passed.get(what, 0) + 1
    if changed := ", ".join(f"{number} {what}" for what, number in told.items() if number and what not in _PASSED):
        warnings.warn(DataWarning(f"{folder}: of {len(bands)} sounds {changed}"), stacklevel=4)
    parts = {}
    for part in dict.fromkeys(part for part, _ in labels.values()):
        places = [place for place in bands if labels[place][0] == part]
        parts[part] = _part(folder, places, bands, labels, rows)
    return RawSeries(
        name=folder.resolve().name,
        classes=None,
        parts=parts,
        facts={"front_end": "log-mel"},
        most=MOST_FRAMES,
        passed=passed,
    )


_NO_LABEL, _NO_SOUND = "sound outside the parts or without a label", "row of the table without its sound"
_PASSED = (_NO_LABEL, _NO_SOUND, NO_LENGTH)


def _bands(sounds: Mapping[Parts, Path], told: Counter[str]) -> dict[Parts, np.ndarray]:
    """The bands of every sound that has a length. All files that cannot be read are named at once: there may be more
    than one, and reading the others takes a while."""
    bands: dict[Parts, np.ndarray] = {}
    refused: list[tuple[Path, DataError]] = []
    for place, path in sounds.items():
        try:
            wave = read_wave(path, told)
        except DataError as error:
            refused.append((path, error))
            continue
        if len(wave):
            bands[place] = log_mel(wave)
    if len(refused) > 1:
        others = ", ".join(str(path) for path, _ in refused[1:6]) + (", ..." if len(refused) > 6 else "")
        raise DataError(f"{refused[0][1]}; {len(refused) - 1} more cannot be read: {printable(others)}")
    if refused:
        raise refused[0][1]
    return bands


def _part(
    folder: Path,
    places: list[Parts],
    bands: Mapping[Parts, np.ndarray],
    labels: Mapping[Parts, tuple[str, str]],
    rows: Mapping[Parts, Mapping[str, Any]],
) -> SeriesPart:
    own = [rows.get(place_key(place), {}) for place in places]
    names = dict.fromkeys(name for row in own for name in row)
    label = label_named(names, certain=False)

    def where(row: int) -> str:
        return str(folder.joinpath(*places[row]))

    return SeriesPart(
        values=stacked([bands[place] for place in places], where) if places else np.zeros((0, BANDS, 1), np.float32),
        labels=np.array([labels[place][1] for place in places], dtype=str),
        place=where,
        columns={name: as_column([row.get(name) for row in own]) for name in names if name != label},
    )


def _files(folder: Path) -> dict[Parts, Path]:
    found = {path.relative_to(folder).parts: path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {place: path for place, path in found.items() if not any(part.startswith(".") for part in place)}


def _by_folder(folder: Path, sounds: Mapping[Parts, Path]) -> dict[Parts, tuple[str, str]]:
    """(part, class) of each file: the first folder names the part, where any does; the last, the class. A folder that
    holds all others does not count."""
    base = 0
    while all(len(place) > base + 3 for place in sounds) and len({place[base] for place in sounds}) == 1:
        if split_of(next(iter(sounds))[base]):
            break
        base += 1
    named = any(split_of(place[base]) for place in sounds if len(place) > base + 2)
    labels: dict[Parts, tuple[str, str]] = {}
    for place in sounds:
        part = (split_of(place[base]) if len(place) > base + 2 else None) if named else WHOLE
        if part is None:
            continue
        *folders, name = place
        if not folders:
            expected = "a folder of .wav files for each class, or a metadata.csv with file_name and label"
            got, fix = f"{name}, in no folder", "put the sounds of each class into one folder, or write the table"
            raise DataError(explain(f"sounds of {folder}", got=got, expected=expected, fix=fix))
        labels[place] = (part, folders[-1])
    return labels


def _by_table(folder: Path, sounds: Mapping[Parts, Path], tables: Mapping[Parts, Any]) -> dict[Parts, tuple[str, str]]:
    rows = metadata_rows(str(folder), tables)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    label = label_named(names, certain=False)
    if label is None:
        got, fix = ", ".join(names) or "no columns", "add a column label with the class of each file"
        raise DataError(explain(f"metadata of {folder}", got=got, expected="a column label", fix=fix))
    split = next((name for name in names if name.lower() in ("split", "part", "subset")), None)
    labels = {}
    for place in sounds:
        row = rows.get(place_key(place), {})
        if row.get(label) not in (None, ""):
            part = split_of(str(row.get(split))) if split else split_of(place[0]) if len(place) > 1 else None
            labels[place] = (part or WHOLE, str(row[label]).strip())
    if not labels:
        got, fix = "no row for any of the sounds", "write into file_name each file's place below the table"
        raise DataError(explain(f"metadata of {folder}", got=got, expected="a row for each sound", fix=fix))
    return labels


def _no_sounds(folder: Path, everything: Mapping[Parts, Path]) -> DataError:
    endings = Counter(path.suffix.lower() or path.name for path in everything.values())
    got = ", ".join(f"{number} {ending} files" for ending, number in endings.most_common(5)) or "no file"
    expected = "a pair NAME_TRAIN.ts and NAME_TEST.ts, Parquet files with lists, or .wav files in a folder per class"
    others = any(ending in _OTHER_SOUNDS for ending in endings)
    fix = "convert the sounds to .wav (ffmpeg -i in.mp3 out.wav)" if others else "check the path"
    return DataError(explain(f"series in {folder}", got=got, expected=expected, fix=fix))
