"""Cells to pixels: each column's declared transform, the same at every site.

Empty cells, values out of range and unlisted levels are handled as the schema declares, and counted.
"""

import re
from pathlib import Path

import numpy as np

from collabdm.data.flows.cells import Texts
from collabdm.data.flows.faults import cell_error
from collabdm.data.flows.schema import Column
from collabdm.data.flows.tally import Tally

__all__ = [
    "PRESENT_FROM",
    "clipped_numbers",
    "declared_positions",
    "label_positions",
    "level_positions",
    "number_pixels",
    "port_numbers",
    "text_pixels",
]

PRESENT_FROM = 0.125
"""The lowest pixel of a number in a column whose cells may be empty."""


def number_pixels(path: Path, lines: np.ndarray, column: Column, values: np.ndarray, tally: Tally) -> np.ndarray:
    """Pixels float64 [n] of numbers float64 [n], NaN being an empty cell; infinities are clipped.

    Raises `DataError` for an empty cell that the column does not declare.
    """
    high = column.low if column.high is None else column.high
    above = clipped_numbers(path, lines, column, values, tally) - column.low
    if column.transform == "log1p":
        pixels = np.log1p(above / column.unit) / np.log1p((high - column.low) / column.unit)
    else:
        pixels = above / (high - column.low)
    if column.missing is not None:
        pixels = np.where(np.isnan(values), column.missing, PRESENT_FROM + (1 - PRESENT_FROM) * pixels)
    return pixels


def clipped_numbers(path: Path, lines: np.ndarray, column: Column, values: np.ndarray, tally: Tally) -> np.ndarray:
    """Numbers float64 [n] within the column's declared range, those outside at its ends and counted; NaN for an empty
    cell. Raises `DataError` for an empty cell that the column does not declare.
    """
    _check_empty(path, lines, column, np.isnan(values), tally)
    high = column.low if column.high is None else column.high
    tally.add("clipped", column.name, int(np.count_nonzero((values < column.low) | (values > high))))
    return np.clip(values, column.low, high)


def text_pixels(path: Path, lines: np.ndarray, column: Column, texts: Texts, tally: Tally) -> np.ndarray:
    """Pixels float64 [n] of levels: k / n for the k-th of n, the unlisted ones counting as a last one where allowed.

    Raises `DataError` for an empty cell or a level that the column does not declare.
    """
    empty = texts.codes < 0
    positions = declared_positions(path, lines, column, texts, tally)
    pixels = (positions + 1) / (len(column.levels) + column.other)
    return np.where(empty, 0.0 if column.missing is None else column.missing, pixels)


def declared_positions(path: Path, lines: np.ndarray, column: Column, texts: Texts, tally: Tally) -> np.ndarray:
    """As `level_positions`, where an empty cell is an error unless the column declares it."""
    _check_empty(path, lines, column, texts.codes < 0, tally)
    return level_positions(path, lines, column, texts, tally)


def level_positions(path: Path, lines: np.ndarray, column: Column, texts: Texts, tally: Tally) -> np.ndarray:
    """For each row its level's position in the schema, int64 [n]; the number of levels for one that is not listed.

    An empty cell gets 0. Raises `DataError` for an unlisted level, unless the column allows others.
    """
    known = {level: position for position, level in enumerate(column.levels)}
    lookup = np.array([known.get(level, len(column.levels)) for level in texts.levels] + [0], np.int64)
    positions = lookup[texts.codes]
    others = positions == len(column.levels)
    if others.any():
        if not column.other:
            row = int(np.argmax(others))
            expected = f"one of {', '.join(column.levels)}"
            level = texts.levels[texts.codes[row]]
            got, fix = repr(level), f"correct the cell, or list it in `levels` of column {column.name} in the schema"
            if column.kind == "label":
                fix += " and in `classes`"
            if near := next((one for one in column.levels if _bare(one) == _bare(level)), None):
                fix += f" (there is {near!r}, written otherwise)"
            raise cell_error(path, int(lines[row]), column.name, got=got, expected=expected, fix=fix)
        tally.add("other", column.name, int(np.count_nonzero(others)))
    return positions


def label_positions(path: Path, lines: np.ndarray, column: Column, texts: Texts, tally: Tally) -> np.ndarray:
    """As `level_positions`, of the label: an empty cell gets the level that the schema declares for it, and is counted.

    Raises `DataError` for an empty cell where none is declared.
    """
    positions = level_positions(path, lines, column, texts, tally)
    empty = texts.codes < 0
    if not empty.any():
        return positions
    if column.empty_level is None:
        fix = f'label the flow, or drop it; if it means a level, write in the schema "empty": "{column.levels[0]}"'
        fix += f" (or another level) for column {column.name}"
        line = int(lines[int(np.argmax(empty))])
        raise cell_error(path, line, column.name, got="an empty cell", expected="a level", fix=fix)
    tally.add("missing", column.name, int(np.count_nonzero(empty)))
    return np.where(empty, column.levels.index(column.empty_level), positions)


def port_numbers(path: Path, lines: np.ndarray, column: Column, texts: Texts, tally: Tally) -> np.ndarray:
    """Port numbers float64 [n], NaN for an empty cell; hexadecimal (0x50) and octal (0120) ones are counted.

    Raises `DataError` for anything else than a number from 0 to 65535.
    """
    numbers, written = [], []
    for code, level in enumerate(texts.levels):
        number, other_base = _port(level)
        if number is None:
            row = int(np.argmax(texts.codes == code))
            fix = "write ports as numbers (ra -n does)"
            raise cell_error(
                path, int(lines[row]), column.name, got=repr(level), expected="a port, 0 to 65535", fix=fix
            )
        numbers.append(number)
        written.append(other_base)
    tally.add("ports", column.name, int(np.count_nonzero(np.array([*written, False])[texts.codes])))
    return np.array([*numbers, np.nan])[texts.codes]


def _port(text: str) -> tuple[float | None, bool]:
    """The number, and whether it was not written in decimal."""
    base = 16 if text.lower().startswith("0x") else 8 if len(text) > 1 and text.startswith("0") else 10
    try:
        number = int(text, base) if base != 10 else int(text.removesuffix(".0"))
    except ValueError:
        return None, False
    return (number, base != 10) if 0 <= number <= 65535 else (None, False)


def _bare(level: str) -> str:
    """A level without what is often written otherwise: case, blanks, dashes."""
    return re.sub(r"\W|_", "", level).casefold()


def _check_empty(path: Path, lines: np.ndarray, column: Column, empty: np.ndarray, tally: Tally) -> None:
    if not empty.any():
        return
    if column.missing is None:
        expected = "a number" if column.kind == "numeric" else "a level"
        fix = f'fill the cell, or write "missing": 0 (its pixel) for column {column.name} in the schema'
        line = int(lines[int(np.argmax(empty))])
        raise cell_error(path, line, column.name, got="an empty cell", expected=expected, fix=fix)
    tally.add("missing", column.name, int(np.count_nonzero(empty)))
