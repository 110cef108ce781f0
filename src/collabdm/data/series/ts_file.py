"""Reading `.ts` files, the format of aeon, sktime and the UEA and UCR archives, line by line.

A file is a head of `@` lines, then `@data`, then one series a line: its channels separated by colons, the values of a
channel by commas, `?` or NaN for a gap, and the class after the last colon. aeon reads the same format, but needs a
compiler for what has nothing to do with it, and says little about a line that is wrong.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collabdm.data.series.raw import SeriesPart
from collabdm.data.series.stored import stacked
from collabdm.errors import DataError, explain
from collabdm.storage.reading import opened_regular

__all__ = ["read_ts"]


@dataclass(frozen=True, kw_only=True)
class _Head:
    """`first`: the number of the first line of data; `classes`: as declared, empty where none are."""

    first: int
    classes: tuple[str, ...]


def read_ts(path: Path) -> tuple[SeriesPart, tuple[str, ...] | None]:
    """The series of a file with their classes, and the class names that its head declares.

    Raises:
        DataError: a file that cannot be read, without classes or series, with time stamps, or with a line that is
            wrong; the line and the channel are named.
    """
    lines = _lines(path)
    head = _head(path, lines)
    rows = [(n, line) for n, line in enumerate(lines[head.first :], head.first + 1) if _counts(line)]
    if not rows:
        raise _wrong(path, "data", "no series", "a line for each series after @data", "check that it is complete")
    series, labels = zip(*(_row(path, number, line) for number, line in rows), strict=True)
    for (number, _), one in zip(rows, series, strict=True):
        if len(one) != len(series[0]):
            expected = f"{len(series[0])} channels, as in the line before"
            raise _wrong(path, f"line {number}", f"{len(one)} channels", expected, "correct or drop the line")
    values = stacked([_square(one) for one in series], lambda row: f"{path}, line {rows[row][0]}")
    part = SeriesPart(values=values, labels=np.array(labels), place=lambda row: f"{path}, line {rows[row][0]}")
    return part, head.classes or None


def _lines(path: Path) -> list[str]:
    try:
        with opened_regular(path) as file:
            return file.read().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        got = f"{type(error).__name__}: {error}"
        raise _wrong(path, "content", got[:200], "text in UTF-8", "write the file again") from None


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _head(path: Path, lines: list[str]) -> _Head:
    said: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        if not _counts(line):
            continue
        word, *rest = line.split()
        if word.lower() == "@data":
            break
        if not word.startswith("@"):
            raise _wrong(path, f"line {number + 1}", line[:60], "a line that begins with @", "add @data above the data")
        said[word.lower()] = rest
    else:
        raise _wrong(path, "head", "no line @data", "a .ts file with series after @data", "convert the data to .ts")
    if [value.lower() for value in said.get("@timestamps", [])] == ["true"]:
        fix = "write the values alone, at equal steps"
        raise _wrong(path, "head", "@timeStamps true", "series without time stamps", fix)
    label = said.get("@classlabel", [])
    if not label or label[0].lower() != "true":
        got = f"@classLabel {' '.join(label)}".strip() if label else "no @classLabel"
        expected, fix = "@classLabel true and the names of the classes", "give each series a class; targets are none"
        raise _wrong(path, "head", got, expected, fix)
    return _Head(first=number + 1, classes=tuple(dict.fromkeys(label[1:])))


def _row(path: Path, number: int, line: str) -> tuple[list[np.ndarray], str]:
    *channels, label = line.split(":")
    if not channels:
        raise _wrong(path, f"line {number}", "no colon", "channels and a class, with colons between", "add the class")
    if not label.strip():
        raise _wrong(path, f"line {number}", "no class", "a class after the last colon", "add it, or drop the line")
    return [_values(path, number, place, text) for place, text in enumerate(channels)], label.strip()


def _values(path: Path, number: int, channel: int, text: str) -> np.ndarray:
    parts = ["nan" if part.strip() in ("?", "") else part for part in text.split(",")]
    try:
        return np.array([float(part) for part in parts])
    except ValueError:
        wrong = next(part for part in parts if not _is_number(part))
        what = f"line {number}, channel {channel + 1}"
        raise _wrong(path, what, wrong.strip()[:40], "numbers with commas between", "correct the value") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _square(channels: list[np.ndarray]) -> np.ndarray:
    """Channels that end before others have a gap from there on."""
    longest = max(map(len, channels))
    return np.stack([np.pad(one, (0, longest - len(one)), constant_values=np.nan) for one in channels])


def _wrong(path: Path, what: str, got: str, expected: str, fix: str) -> DataError:
    return DataError(explain(f"{path}: {what}", got=got, expected=expected, fix=fix))
