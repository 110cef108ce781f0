"""Where each column of a table lies in what networks see, and the way there and back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collabdm.data.tabular.column import Column

__all__ = ["Layout"]

# Two different levels are then 1 apart, as two numbers half a declared range apart: a category neither drowns in the
# numbers nor drowns them, however many levels it has.
_LEVEL = math.sqrt(0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """The places of columns among the `width` numbers that networks see of a row.

    A numeric column has one number, a categorical one a number for each level, and where values may be missing either
    has one more behind it: 1 where the value is missing, else 0. A missing number is seen as 0, the middle.
    """

    columns: tuple[Column, ...]
    width: int
    starts: np.ndarray
    numeric: np.ndarray
    """Indices of the numeric columns, int64; `scales`, `slopes`, `offsets`, `lows` and `highs` [these] go with them."""
    scales: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray
    lows: np.ndarray
    highs: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[Column]) -> "Layout":
        """The layout of `columns`, in their order."""
        sizes = [max(len(column.levels), 1) + column.missing for column in columns]
        numeric = [place for place, column in enumerate(columns) if column.kind == "numeric"]
        lines = np.array([columns[place].line for place in numeric], dtype=np.float64).reshape(-1, 3)
        ranges = np.array([columns[place].range for place in numeric], dtype=np.float64).reshape(-1, 2)
        return cls(
            columns=tuple(columns),
            width=sum(sizes),
            starts=np.cumsum([0, *sizes[:-1]]),
            numeric=np.array(numeric, dtype=np.int64),
            scales=lines[:, 0],
            slopes=lines[:, 1],
            offsets=lines[:, 2],
            lows=ranges[:, 0],
            highs=ranges[:, 1],
        )

    def encoded(self, values: np.ndarray) -> np.ndarray:
        """Stored rows [n, columns] as networks see them, float64 [n, width]; numbers out of range as their end."""
        seen = np.zeros((len(values), self.width))
        numbers = np.clip(values[:, self.numeric].astype(np.float64), self.lows, self.highs)
        curved = self.scales > 0
        numbers[:, curved] = np.arcsinh(numbers[:, curved] / self.scales[curved])
        seen[:, self.starts[self.numeric]] = np.nan_to_num(numbers * self.slopes + self.offsets, nan=0.0)
        for place, column in enumerate(self.columns):
            start, own = self.starts[place], values[:, place]
            if column.kind == "categorical":
                known = np.flatnonzero(own >= 0)
                seen[known, start + own[known].astype(np.int64)] = _LEVEL
            if column.missing:
                seen[:, start + max(len(column.levels), 1)] = np.isnan(own)
        return seen

    def decoded(self, seen: np.ndarray) -> np.ndarray:
        """What networks see, [n, width], as the stored rows nearest to it, float64 [n, columns]: numbers within their
        range, and whole where the column has whole ones; of levels the largest; missing where that is above a half."""
        rows = np.empty((len(seen), len(self.columns)))
        numbers = (seen[:, self.starts[self.numeric]].astype(np.float64) - self.offsets) / self.slopes
        curved = self.scales > 0
        with np.errstate(over="ignore"):
            numbers[:, curved] = self.scales[curved] * np.sinh(numbers[:, curved])
        rows[:, self.numeric] = np.clip(numbers, self.lows, self.highs)
        for place, column in enumerate(self.columns):
            start, levels = self.starts[place], len(column.levels)
            if levels:
                rows[:, place] = seen[:, start : start + levels].argmax(axis=1)
            elif column.integer:
                # Not beyond the ends where these are no whole numbers.
                low, high = column.range
                whole = np.clip(np.rint(rows[:, place]), math.ceil(low), max(math.floor(high), math.ceil(low)))
                rows[:, place] = whole
            if column.missing:
                rows[seen[:, start + max(levels, 1)] > 0.5, place] = np.nan
        return rows
