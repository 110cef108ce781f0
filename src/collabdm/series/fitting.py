"""Stored series of any length, with gaps, to what networks see: one length, one scale, no gaps.

A reader stores series of several lengths in one array: after its own end, a series is NaN.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Fit", "Found", "found_in", "own_lengths", "prepared"]

# A spread below so much of a channel's size is rounding: the channel is constant.
_CONSTANT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a plan says: the `length`; how a series comes to it, `hold` (after its end its last value), `zero` (after
    its end its mean) or `resample`; and over what it is standardised: `sample`, `channel` or `declared`."""

    length: int
    how: str
    standardise: str
    offset: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Found:
    """How many of the series are of another length, and how many have gaps, or channels that are all gap."""

    shorter: int
    longer: int
    gaps: int
    empty_channels: int


def own_lengths(values: np.ndarray) -> np.ndarray:
    """How many steps each of the series [n, C, T] has: up to the last at which any channel has a value, int [n]."""
    there = np.logical_not(np.all(np.isnan(values), axis=1))
    return np.where(there.any(axis=1), values.shape[2] - np.argmax(there[:, ::-1], axis=1), 0)


def found_in(values: np.ndarray, length: int) -> Found:
    """What `prepared` will have to do to floats [n, C, T]."""
    lengths = own_lengths(values)
    missing = np.isnan(values)
    inside = missing & (np.arange(values.shape[2]) < lengths[:, None])[:, None]
    return Found(
        shorter=int((lengths < length).sum()),
        longer=int((lengths > length).sum()),
        gaps=int(inside.any(axis=(1, 2)).sum()),
        empty_channels=int((missing.all(axis=2) & (lengths > 0)[:, None]).sum()),
    )


def prepared(values: np.ndarray, fit: Fit) -> np.ndarray:
    """Series [n, C, T], NaN where nothing is known, as float32 [n, C, L].

    In this order, each series by itself: scaled; gaps filled along a straight line, at the ends with the nearest value,
    and a channel without any value with 0, its mean; brought to the length.
    """
    lengths = own_lengths(values)
    out = np.zeros((len(values), values.shape[1], fit.length), np.float32)
    for length in np.unique(lengths[lengths > 0]):
        rows = lengths == length
        scaled = _scaled(values[rows, :, :length].astype(np.float64), fit)
        out[rows] = _of_length(_filled(scaled), fit)
    return out


def _scaled(x: np.ndarray, fit: Fit) -> np.ndarray:
    if fit.standardise == "declared":
        return (x - fit.offset[:, None]) / fit.scale[:, None]
    axes = (1, 2) if fit.standardise == "sample" else (2,)
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=axes, keepdims=True), 1)
    mean = np.where(known, x, 0).sum(axis=axes, keepdims=True) / count
    away = x - mean
    spread = np.sqrt(np.where(known, away * away, 0).sum(axis=axes, keepdims=True) / count)
    constant = spread <= _CONSTANT * np.abs(mean)
    return np.where(constant & known, 0.0, away / np.where(constant | (spread == 0), 1.0, spread))


def _filled(x: np.ndarray) -> np.ndarray:
    missing = np.isnan(x)
    steps = np.arange(x.shape[2])
    for row, channel in np.argwhere(missing.any(axis=2)):
        known = ~missing[row, channel]
        line = x[row, channel]
        x[row, channel] = np.interp(steps, steps[known], line[known]) if known.any() else 0.0
    return x


def _of_length(x: np.ndarray, fit: Fit) -> np.ndarray:
    own, length = x.shape[2], fit.length
    if own == length:
        return x
    if fit.how == "resample":
        return _resampled(x, length)
    if own > length:
        return x[:, :, :length]
    return np.pad(x, ((0, 0), (0, 0), (0, length - own)), mode="edge" if fit.how == "hold" else "constant")


def _resampled(x: np.ndarray, length: int) -> np.ndarray:
    """Stretched along straight lines; shortened, each step is the mean of those that it stands for."""
    own = x.shape[2]
    if own < length:
        place = np.linspace(0, own - 1, length)
        low = np.minimum(place.astype(np.int64), max(own - 2, 0))
        high, share = np.minimum(low + 1, own - 1), place - low
        return x[:, :, low] * (1 - share) + x[:, :, high] * share
    total = np.concatenate([np.zeros((*x.shape[:2], 1)), np.cumsum(x, axis=2)], axis=2)
    edges = np.linspace(0, own, length + 1)
    low = np.minimum(edges.astype(np.int64), own - 1)
    up_to = total[:, :, low] + (edges - low) * x[:, :, low]
    return np.diff(up_to, axis=2) * (length / own)
