"""What is declared of one column of a table: its name, its kind, its levels or its range.

It is part of the plan, and no server of a real round can see pooled data, so nothing here is ever computed from them.
"""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, model_validator

from collabdm.data.class_names import unreadable

__all__ = ["LARGEST", "MOST_COLUMNS", "MOST_LEVELS", "Column", "Text"]

MOST_COLUMNS = 4096
MOST_LEVELS = 1000

# Without a declared range: asinh(x / scale) from -16 to 16, so |x| up to four million scales.
_OPEN_END = 16.0
_OPEN_UNIT = 4.0

LARGEST = 1e18
"""Beyond it a float32 square is infinite; a declared number is never so large."""


def _readable(text: str) -> str:
    wanted = unreadable(text)
    if wanted:
        raise ValueError(wanted)
    return text


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class Column(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """One column. `numeric`: `linear` from `low` to `high`, or `asinh` of the value in units of `scale`, for heavy
    tails, where the range may stay open. `categorical`: `levels`, each a text.

    `integer`: synthetic values are rounded to whole numbers; `missing`: values may be missing; `unit`: what stands
    before or behind the numbers in the sites' cells (%, $, EUR), whose values they are: 12 % is 12.
    """

    name: Text
    kind: Literal["numeric", "categorical"]
    levels: Annotated[tuple[Text, ...], Field(max_length=MOST_LEVELS)] = ()
    transform: Literal["linear", "asinh"] = "linear"
    low: Number | None = None
    high: Number | None = None
    scale: Annotated[float, Field(ge=1e-18, le=LARGEST)] | None = None
    integer: bool = False
    missing: bool = False
    unit: Annotated[Text, Field(max_length=20)] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "Column":
        if self.kind == "categorical":
            self._check_levels()
            return self
        if self.levels:
            raise ValueError(f"column {self.name} is numeric and has no levels")
        if (self.scale is not None) != (self.transform == "asinh"):
            raise ValueError(f"column {self.name}: scale goes with the transform asinh")
        if self.transform == "linear" and self.low is None:
            raise ValueError(f"column {self.name} needs low and high, or the transform asinh with a scale")
        if (self.low is None) != (self.high is None):
            raise ValueError(f"column {self.name} needs both low and high, or neither")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"column {self.name}: low must be below high")
        return self

    def _check_levels(self) -> None:
        if not self.levels:
            raise ValueError(f"column {self.name} is categorical and needs levels")
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"column {self.name} has a level twice")
        if self.low is not None or self.high is not None or self.scale is not None or self.integer or self.unit:
            raise ValueError(f"column {self.name} is categorical and has no range, scale, unit or whole numbers")

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest value of a numeric column; what is outside is clipped."""
        if self.low is not None and self.high is not None:
            return self.low, self.high
        end = (self.scale or 1.0) * math.sinh(_OPEN_END)
        return -end, end

    @property
    def line(self) -> tuple[float, float, float]:
        """(scale, slope, offset) of a numeric column: networks see slope * t + offset, which runs from -1 to 1 over a
        declared range (from -4 to 4 over an open one); t is the value, or its asinh in units of scale where scale is
        not 0."""
        if self.low is None or self.high is None:
            return self.scale or 1.0, 1 / _OPEN_UNIT, 0.0
        scale = self.scale or 0.0
        low, high = (math.asinh(end / scale) if scale else end for end in (self.low, self.high))
        slope = 2 / (high - low)
        return scale, slope, -1 - slope * low

    def level_numbers(self, texts: np.ndarray) -> np.ndarray:
        """The place of each text [n] among the levels, float64: -1 for an unknown one, NaN for None."""
        place: dict[str | None, float] = {level: float(number) for number, level in enumerate(self.levels)}
        place[None] = math.nan
        return np.array([place.get(text, -1.0) for text in texts.tolist()], dtype=np.float64)
