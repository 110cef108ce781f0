"""Procedural series that belong to nobody's data: noise of every smoothness, with steps and slopes.

Sensors give smooth series, and others rough ones; what a kernel answers to a mixture of both says where its threshold
may lie, though nobody's series was looked at.
"""

import numpy as np

from collabdm.randomness import Stream

__all__ = ["procedural_series"]

# From white noise, by summing up and by averaging over neighbours, as many kinds as here, one series after another.
_SMOOTHED = (0, 1, 2, 4)


def procedural_series(stream: Stream, count: int, channels: int, length: int) -> np.ndarray:
    """`count` series, float64 [count, channels, length], each channel of mean 0 and spread 1.

    In turn white noise and a random walk, and each averaged over 3, 5 and 9 steps. Only sums, products, quotients and
    roots, which every machine rounds nearly alike.
    """
    noise = stream.uniform((count, channels, length), -1, 1)
    for number, series in enumerate(noise):
        if number % 2:
            np.cumsum(series, axis=1, out=series)
        reach = _SMOOTHED[number // 2 % len(_SMOOTHED)]
        if reach:
            padded = np.pad(series, ((0, 0), (reach, reach)), mode="edge")
            series[:] = sum(padded[:, shift : shift + length] for shift in range(2 * reach + 1))
    noise -= noise.mean(axis=2, keepdims=True)
    spread = np.sqrt((noise * noise).mean(axis=2, keepdims=True))
    return noise / np.maximum(spread, 1e-6)
