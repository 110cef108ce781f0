"""The front end for sounds: the loudness of forty bands, frame by frame, in fixed numbers that every site shares.

A second of sound has 16,000 steps, in which a small network finds nothing; as bands it has 63 steps of 40 channels.
"""

from functools import lru_cache
from math import gcd

import numpy as np

__all__ = ["BANDS", "MOST_FRAMES", "RATE", "at_rate", "log_mel"]

RATE, BANDS = 16_000, 40
"""Samples a second to which every sound is brought; bands, evenly spaced in mel from 0 to 8 kHz."""

MOST_FRAMES = 128
"""A plan stretches sounds to so many frames (two seconds) where the longest has more."""

_WINDOW, _HOP = 512, 256

# Bands more than 80 dB below the loudest of a sound are as if they were that: silence has no end of decibels.
_FLOOR = 1e-8


def at_rate(wave: np.ndarray, rate: int) -> np.ndarray:
    """A sound [steps] of `rate` samples a second as one of `RATE`."""
    from scipy.signal import resample_poly

    common = gcd(RATE, rate)
    return wave if rate == RATE else resample_poly(wave, RATE // common, rate // common)


def log_mel(wave: np.ndarray) -> np.ndarray:
    """A sound [steps] at `RATE` as log10 of the power in each band, float64 [40, frames]; loudness in itself is left
    in, and every frame of 512 samples (Hann) begins 256 after the one before. The last is filled up with zeros.
    """
    frames = max(-(-(len(wave) - _WINDOW) // _HOP), 0) + 1
    padded = np.pad(wave.astype(np.float64), (0, max((frames - 1) * _HOP + _WINDOW - len(wave), 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:frames]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    power = np.abs(np.fft.rfft(windows * hann, axis=1)) ** 2 @ _filters()
    # A silent file has no loudest band: all of it is the floor.
    return np.log10(np.maximum(power, max(power.max() * _FLOOR, 1e-20))).T


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """Triangles from one mel point over the next to the one after, each of sum 1: [257, 40]."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    points = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    at = np.arange(_WINDOW // 2 + 1) * (RATE / _WINDOW)
    rising = (at[:, None] - points[:-2]) / (points[1:-1] - points[:-2])
    falling = (points[2:] - at[:, None]) / (points[2:] - points[1:-1])
    filters = np.maximum(np.minimum(rising, falling), 0)
    # The lowest bands are narrower than a line of the spectrum, and take the nearest.
    for band in np.flatnonzero(filters.sum(axis=0) == 0):
        filters[np.argmin(np.abs(at - points[band + 1])), band] = 1
    return filters / filters.sum(axis=0)
