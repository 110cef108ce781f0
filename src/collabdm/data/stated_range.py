"""The linear range that 8-bit images of a distilled set state, so that they mean the floats that they were made of.

Distilled pixels lie outside those of a photograph: clipped, the set would train no network. So every exported PNG says
in a text chunk, and an exported `.npz` in the array `range`, which pixel values its levels 0 and 255 stand for, in each
channel, where 0 is black and 1 white as in any image. Readers that do not know it see the same image at less contrast.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from collabdm.errors import DataError, explain, told

__all__ = ["KEY", "LEVELS", "ORDINARY", "TAIL", "StatedRange", "stated_in_array"]

KEY = "collabdm:range"
"""The keyword of a PNG's text chunk."""

LEVELS = 255
# The share of a channel's values that a range may leave out at either end. Measured on local sets of CIFAR-10 and
# Fashion-MNIST by the error of the embeddings (docs/wire.md): as good as minimum to maximum, and a few runaway pixels
# cannot push everything else into a handful of levels; 0.1 % is up to six times worse.
TAIL = 1e-4
_ROUNDING = 0.5 / LEVELS
# What float32 still holds.
_MOST = 1e38

Bound = Annotated[float, Field(ge=-_MOST, le=_MOST)]
Bounds = Annotated[tuple[Bound, ...], Field(min_length=1, max_length=3)]


class StatedRange(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The pixels that the levels 0 (`low`) and 255 (`high`) stand for, per channel; [0, 1] in an ordinary image."""

    low: Bounds
    high: Bounds

    @model_validator(mode="after")
    def _agree(self) -> "StatedRange":
        if len(self.low) != len(self.high) or not all(a < b for a, b in zip(self.low, self.high, strict=False)):
            raise ValueError("a range needs a low below its high for each channel")
        return self

    @property
    def ordinary(self) -> bool:
        """Whether levels mean what they do in any image."""
        return set(self.low) == {0.0} and set(self.high) == {1.0}

    def text(self) -> str:
        """What the text chunk holds."""
        return json.dumps({"low": self.low, "high": self.high})

    def levels(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [n, C, H, W] rounded to the nearest levels, uint8; what lies outside the range is clipped to it."""
        low, high = self._bounds()
        return np.rint((np.clip(pixels, low, high) - low) / (high - low) * LEVELS).astype(np.uint8)

    def pixels(self, levels: np.ndarray, what: str) -> np.ndarray:
        """The pixels that levels uint8 [..., C, H, W] stand for, float32; the range of a grey image holds for all
        channels that were made of it. `what` names the image in the error.

        Raises `DataError` where the range is one of another number of channels.
        """
        if len(self.low) not in (1, levels.shape[-3]):
            expected, fix = f"one for {len(self.low)}, as its range says", "export the set again"
            raise DataError(explain(what, got=f"{levels.shape[-3]} channels", expected=expected, fix=fix))
        low, high = self._bounds()
        return (low + levels * ((high - low) / LEVELS)).astype(np.float32)

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = (np.array(side, dtype=np.float64).reshape(-1, 1, 1) for side in (self.low, self.high))
        return low, high

    @classmethod
    def of(cls, pixels: np.ndarray, tail: float = TAIL) -> "StatedRange":
        """The range of a set's pixels [n, C, H, W]: at least [0, 1] in each channel, and all but the share `tail` of
        the pixels at either end.

        A few runaway pixels are left out, since they would push all others into a handful of levels.
        """
        low = np.quantile(pixels, tail, axis=(0, 2, 3), method="lower").astype(float)
        high = np.quantile(pixels, 1 - tail, axis=(0, 2, 3), method="higher").astype(float)
        # Half a level beyond [0, 1] is rounding, not range.
        low, high = np.where(low > -_ROUNDING, 0.0, low), np.where(high < 1 + _ROUNDING, 1.0, high)
        return cls(low=tuple(low.clip(-_MOST).tolist()), high=tuple(high.clip(max=_MOST).tolist()))

    @classmethod
    def read(cls, info: Mapping[Any, Any], what: str) -> "StatedRange | None":
        """That of an opened image's `info`, None where it states none or an ordinary one; `what` names the image.

        Raises `DataError` where what it states is no range.
        """
        if KEY not in info:
            return None
        try:
            stated = cls.model_validate_json(str(info[KEY]))
        except ValidationError as error:
            got, fix = (
                f"a range that is none ({told(error.errors()[0])})",
                f"remove its text {KEY}, or export it again",
            )
            raise DataError(explain(what, got=got, expected="a low and a high for each channel", fix=fix)) from None
        return None if stated.ordinary else stated


def stated_in_array(array: np.ndarray, what: str) -> StatedRange:
    """The range in an array [2, C], as an exported `.npz` holds it; `what` names it in the error.

    Raises `DataError` where it is none.
    """
    try:
        low, high = array.astype(np.float64).tolist()
        return StatedRange(low=low, high=high)
    except (TypeError, ValueError):
        expected, fix = "[2, channels]: the pixels that 0 and 255 stand for", "export the set again, or drop the array"
        raise DataError(explain(what, got=f"{array.dtype} {list(array.shape)}", expected=expected, fix=fix)) from None


ORDINARY = StatedRange(low=(0.0,), high=(1.0,))
