"""Rocket: a fixed feature map for series, made without anyone's data; the additive teacher's default for them.

Random convolutional kernels of many dilations; of each, the share of the steps at which its response is above a
threshold (PPV) and its largest response (Dempster et al. 2020, 2021). ROCKET draws thresholds at random and MiniRocket
takes them from the data; here they are quantiles of the kernel's response to procedural series, which are nobody's.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from collabdm.networks.base import Initialised, Network, feature_body
from collabdm.networks.convnet1d import series_shape
from collabdm.networks.procedural_series import procedural_series
from collabdm.randomness import Stream

__all__ = ["RocketFeatures", "rocket"]

_LENGTHS = (7, 9, 11)
_TAPS = 11

# The step function of PPV as a sigmoid, so that refinement has gradients; responses to procedural series have spread 1.
_STEEP = 10.0

# The largest response is of another size than a share, and one penalty of the ridge stands for both.
_MAX_SHARE = 0.25

# Thresholds are quantiles of the responses to so many series; their ends say little.
_SERIES, _LOWEST, _HIGHEST = 24, 0.1, 0.9

# Weights and thresholds are multiples of it: what sums round differently on another machine leaves them the same.
_GRAIN = 2.0**-12


def rocket(shape: tuple[int, ...], classes: int, *, width: int = 512, norm: str = "none") -> Network:
    """`width` kernels of 7, 9 or 11 steps; an embedding has two numbers for each (PPV, maximum).

    `norm`: as `feature_body` has it.
    """
    channels, length = series_shape("rocket", shape)
    return Network(feature_body("rocket", RocketFeatures(channels, length, width), norm), 2 * width, classes)


class RocketFeatures(Initialised):
    """mean over steps of sigmoid(10 (r - b)), and max r / 4, of responses r: [n, C, L] to [n, 2 K].

    The kernels are shared out among dilations 1, 2, 4, ... up to the length; series are padded with zeros.
    """

    def __init__(self, channels: int, length: int, width: int) -> None:
        """`width`: the number K of kernels."""
        super().__init__()
        self.length = length
        self.weight = nn.Parameter(torch.empty(width, channels, _TAPS))
        self.threshold = nn.Parameter(torch.empty(width))

    def initial(self, stream: Stream) -> dict[str, Tensor]:
        """`weight`, kernels of mean 0 on random channels, and `threshold`."""
        width, channels, _ = self.weight.shape
        weight, threshold = _kernels(int(stream.raw(1)[0]), width, channels, self.length)
        return {"weight": torch.from_numpy(weight), "threshold": torch.from_numpy(threshold)}

    def forward(self, samples: Tensor) -> Tensor:
        """Responses of one dilation after another."""
        weight, threshold = self.weight.to(samples.dtype), self.threshold.to(samples.dtype)
        shares, largest = [], []
        for dilation, kernels in _dilations(len(weight), self.length):
            pad = dilation * (_TAPS // 2)
            response = functional.conv1d(samples, weight[kernels], padding=pad, dilation=dilation)
            above = torch.sigmoid(_STEEP * (response - threshold[kernels, None]))
            shares.append(above.mean(dim=2))
            largest.append(_MAX_SHARE * response.amax(dim=2))
        return torch.cat([*shares, *largest], dim=1)


def _dilations(width: int, length: int) -> Iterator[tuple[int, slice]]:
    """Every dilation with its kernels: powers of two, as long as seven taps span no more than the series."""
    dilations = [1]
    while 6 * 2 * dilations[-1] <= length - 1:
        dilations.append(2 * dilations[-1])
    dilations = dilations[:width]
    edges = [round(i * width / len(dilations)) for i in range(len(dilations) + 1)]
    for dilation, start, end in zip(dilations, edges, edges[1:], strict=False):
        yield dilation, slice(start, end)


@lru_cache(maxsize=8)
def _kernels(seed: int, width: int, channels: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [width, channels, 11] and [width], multiples of `_GRAIN`."""
    stream = Stream(seed, "rocket")
    weight = np.stack([_kernel(stream, channels, (length - 1) // d) for d in _of_each(width, length)])
    series = procedural_series(stream, _SERIES, channels, length)
    # The golden ratio's multiples are spread evenly, in whatever part of the kernels.
    level = _LOWEST + (_HIGHEST - _LOWEST) * ((np.arange(width) + 1) * 0.6180339887498949 % 1)
    threshold = np.empty(width)
    for dilation, kernels in _dilations(width, length):
        response = _responses(series, weight[kernels], dilation)
        spread = np.maximum(response.std(axis=(0, 2)), 1e-3)
        weight[kernels] /= spread[:, None, None]
        ordered = np.sort(response.transpose(1, 0, 2).reshape(len(spread), -1), axis=1) / spread[:, None]
        place = (level[kernels] * ordered.shape[1]).astype(np.int64)
        threshold[kernels] = ordered[np.arange(len(spread)), place]
    rounded = [(np.rint(part / _GRAIN) * _GRAIN).astype(np.float32) for part in (weight, threshold)]
    return rounded[0], rounded[1]


def _of_each(width: int, length: int) -> list[int]:
    """The dilation of every kernel."""
    return [dilation for dilation, kernels in _dilations(width, length) for _ in range(kernels.stop - kernels.start)]


def _kernel(stream: Stream, channels: int, steps: int) -> np.ndarray:
    """Nearly normal weights of mean 0 on each of the channels drawn, float64 [channels, 11], of unit length.

    `steps`: how many of the kernel's steps the series has; longer kernels than that are left out.
    """
    lengths = [taps for taps in _LENGTHS if taps <= max(steps + 1, _LENGTHS[0])]
    taps = lengths[int(stream.integers(len(lengths)))]
    # Few channels as often as many: each power of two up to all is as likely.
    powers = [2**k for k in range(channels.bit_length()) if 2**k < channels] + [channels]
    count = powers[int(stream.integers(len(powers)))]
    chosen = stream.choose(channels, count)
    # Four uniform numbers add up to something like a normal one, without a logarithm.
    drawn = stream.uniform((count, taps, 4)).sum(axis=2) - 2
    drawn -= drawn.mean(axis=1, keepdims=True)
    kernel = np.zeros((channels, _TAPS))
    start = (_TAPS - taps) // 2
    kernel[chosen, start : start + taps] = drawn / np.sqrt((drawn * drawn).sum())
    return kernel


def _responses(series: np.ndarray, weight: np.ndarray, dilation: int) -> np.ndarray:
    """The same convolution in float64: [m, C, L] and [K, C, 11] to [m, K, L]."""
    pad = dilation * (_TAPS // 2)
    padded = np.pad(series, ((0, 0), (0, 0), (pad, pad)))
    length = series.shape[2]
    seen = np.zeros((len(series), len(weight), length))
    for tap in range(_TAPS):
        seen += np.einsum("kc,mcl->mkl", weight[:, :, tap], padded[:, :, tap * dilation : tap * dilation + length])
    return seen
