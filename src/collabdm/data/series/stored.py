"""Series of any length as one array, and the facts that are declared of them."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from collabdm.data.presets import Preset
from collabdm.errors import DataError, DataWarning, explain

__all__ = ["declared_series", "stacked"]

# Measured on held-out samples (docs/series.md): noise, size and speed gained nothing beside it.
_AUGMENT = ("shift",)

# What one array may take, in values: a series far longer than all others would fill the memory with padding.
_MOST_VALUES = 2**30


def stacked(series: Sequence[np.ndarray], place: Callable[[int], str]) -> np.ndarray:
    """float32 [n, C, T] of series [C, steps], NaN after the end of the shorter ones. `place`: in which file a series
    stands, and where.

    Raises `DataError` where channels differ, or one long series would make an array of over 2^30 values.
    """
    channels, longest = series[0].shape[0], max(one.shape[1] for one in series)
    for row, one in enumerate(series):
        if one.shape[0] != channels:
            expected, fix = f"{channels}, as in the first", "bring all series to the same channels"
            raise DataError(explain(f"channels of {place(row)}", got=one.shape[0], expected=expected, fix=fix))
    if len(series) * channels * longest > _MOST_VALUES:
        where = place(max(range(len(series)), key=lambda row: series[row].shape[1]))
        got = f"{len(series)} series of {channels} channels, the longest ({where}) of {longest} steps"
        fix = "cut the longest series into parts, or take fewer"
        raise DataError(explain("size of the series", got=got, expected=f"at most {_MOST_VALUES} values", fix=fix))
    out = np.full((len(series), channels, longest), np.nan, np.float32)
    for row, one in enumerate(series):
        with np.errstate(over="ignore"):
            out[row, :, : one.shape[1]] = one
    return out


def declared_series(
    name: str, classes: tuple[str, ...], *, channels: int, length: int, most: int | None = None, **facts: object
) -> Preset:
    """What is declared of series: each is standardised by itself, so that no number is taken from the data.

    `most`: where the longest is longer, all are stretched to so many steps, which is told.
    """
    declared: dict[str, object] = {"channels": channels, "length": length, **facts}
    if most is not None and length > most:
        told = f"{name}: the longest series has {length} steps; a plan for them stretches all to {most} (plan.sample)"
        warnings.warn(DataWarning(told), stacklevel=2)
        declared |= {"length": most, "fit": "resample"}
    return Preset(name=name, shape=(channels, length), classes=classes, declared=declared, augment=_AUGMENT)
