"""Operations of the augmentation for series, and the mixing of two: differentiable, with explicit numbers.

Where an operation draws for all samples at once, there is one row of numbers, else one per sample.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from collabdm.engine.placing import uploaded
from collabdm.registry import Table

__all__ = ["OPERATIONS", "window_mix"]

# In spreads of a standardised series; as a factor; as shares of the length; as a speed within the window.
_JITTER, _SCALE, _SHIFT, _WINDOW, _SPEED = 0.1, 1.25, 0.1, 0.25, 2.0

_WORD = np.uint64


def _jitter(series: Tensor, u: np.ndarray) -> Tensor:
    _, channels, length = series.shape
    # A hash of the number and the place (splitmix64), so that a sample's noise is its own, whatever the batch.
    place = np.arange(1, channels * length + 1, dtype=_WORD) * _WORD(0x9E3779B97F4A7C15)
    z = (u[:, :1] * 2.0**53).astype(_WORD) * _WORD(0xD1342543DE82EF95) + place
    z = (z ^ (z >> _WORD(30))) * _WORD(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _WORD(27))) * _WORD(0x94D049BB133111EB)
    z ^= z >> _WORD(31)
    # Two uniform numbers of 32 bits in each word; their sum has a variance of 1/6.
    noise = ((z >> _WORD(32)) + (z & _WORD(0xFFFFFFFF))).astype(np.float64) / 2.0**32 - 1
    return series + _placed(noise.reshape(-1, channels, length) * (_JITTER * 6**0.5), series)


def _scaling(series: Tensor, u: np.ndarray) -> Tensor:
    return series * _placed(_SCALE ** (2 * u[:, 0] - 1), series).view(-1, 1, 1)


def _shift(series: Tensor, u: np.ndarray) -> Tensor:
    """Earlier or later; what it uncovers is the first or the last value."""
    length = series.shape[2]
    return _at(series, np.arange(length) + (2 * u[:, :1] - 1) * _SHIFT * length)


def _warp(series: Tensor, u: np.ndarray) -> Tensor:
    """A window runs at up to twice or half the speed, and all of it is brought back to the length."""
    end = series.shape[2] - 1
    width = _WINDOW * end
    positions = []
    for start, speed in zip(u[:, 0] * (end - width), _SPEED ** (2 * u[:, 1] - 1), strict=True):
        knots = np.array([0.0, start, start + width / speed, end - width + width / speed])
        place = np.linspace(0, knots[3], end + 1)
        positions.append(np.interp(place, knots, [0.0, start, start + width, end]))
    return _at(series, np.stack(positions))


OPERATIONS: dict[str, Callable[[Tensor, np.ndarray], Tensor]] = Table(
    {"jitter": _jitter, "scaling": _scaling, "shift": _shift, "warp": _warp}
)
"""By name: from series [n, C, L] and numbers in [0, 1), float64 [1 or n, 3], to series."""


def window_mix(series: Tensor, partners: Tensor, uniforms: np.ndarray) -> tuple[Tensor, Tensor]:
    """Series [n, C, L] with a window of their partners, and the share of the steps that are still their own [n].

    Of the numbers in [0, 1) of each series, `uniforms` [n, 3], the first is the share that a whole window leaves, the
    second its middle. At the ends it is cut off, and the share says what is left.
    """
    length = series.shape[2]
    # In float64 whatever the dtype of the series, so that every engine cuts at the same step.
    cut = np.floor(length * (1 - uniforms[:, 0])).astype(np.int64)[:, None]
    start = np.floor(uniforms[:, 1:2] * length).astype(np.int64) - cut // 2
    taken = (np.arange(length) >= start) & (np.arange(length) < start + cut)
    mixed = torch.where(uploaded(torch.from_numpy(taken[:, None]), series.device), partners, series)
    return mixed, _placed(1 - taken.mean(axis=1), series)


def _at(series: Tensor, places: np.ndarray) -> Tensor:
    """The series at these places between its steps, float64 [1 or n, L], along straight lines; outside, its ends."""
    end = series.shape[2] - 1
    places = np.clip(places, 0, end)
    low = np.minimum(places.astype(np.int64), max(end - 1, 0))
    share = _placed(places - low, series)[:, None]
    ends = [uploaded(torch.from_numpy(i)[:, None], series.device) for i in (low, np.minimum(low + 1, end))]
    first, second = (torch.gather(series, 2, i.expand(len(series), series.shape[1], -1)) for i in ends)
    return first * (1 - share) + second * share


def _placed(values: np.ndarray, series: Tensor) -> Tensor:
    return uploaded(torch.from_numpy(np.ascontiguousarray(values)), series.device, series.dtype)
