"""Patches: a fixed feature map for pictures, made without anyone's data; the additive teacher's default.

One layer of Coates and Ng's (2012) single-layer features: filters are patches of procedural pictures, whitened among
themselves; what a filter says of a place is compared with a threshold, on both sides, and averaged over each part of a
grid. No layer above it is trained but the last, for which sums over samples suffice. `mirrored-patches` are the means
of these features over an image and its mirror image: what is to be learned does not have to be learned twice.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from collabdm.networks.base import Initialised, Network, feature_body, image_shape, require_side
from collabdm.networks.dead_leaves import dead_leaves
from collabdm.randomness import Stream

__all__ = ["Mirrored", "PatchFeatures", "mirrored_patches", "patches"]

_SIDE = 6
_THRESHOLD = 0.5
_GRID = 2
_SMALLEST_PICTURE = 8

# The contrast, in standard deviations of the data's pixels, below which a place counts as plain.
_FAINT = 0.04

# Where filters come from: enough pictures for the covariance of a patch's pixels.
_PICTURES, _PICTURE_SIDE, _PATCHES_EACH = 200, 32, 200
_PLAIN = 0.02
_REGULARISER = 0.1

# Filters are multiples of it: what linear algebra rounds differently on another machine leaves them the same.
_GRAIN = 2.0**-12


def patches(shape: tuple[int, ...], classes: int, *, width: int = 128, norm: str = "none") -> Network:
    """`width` filters of 6x6 pixels; an embedding has 8 numbers for each (two signs, a 2x2 grid).

    `norm`: `none`, or `layer`, by which every embedding has mean 0 and variance 1 over its numbers, and so one length.
    """
    own = _features("patches", shape, width)
    return Network(feature_body("patches", own, norm), 2 * width * _GRID**2, classes)


def mirrored_patches(shape: tuple[int, ...], classes: int, *, width: int = 128, norm: str = "none") -> Network:
    """`patches` of an image and of its mirror image, averaged: the same numbers for both. The parameters are alike."""
    own = Mirrored(_features("mirrored-patches", shape, width))
    body = feature_body("mirrored-patches", own, norm)
    return Network(body, 2 * width * _GRID**2, classes, unchanged_by=("flip",), quartered=True)


class Mirrored(nn.Module):
    """The mean of what a body says of an image and of its mirror image."""

    def __init__(self, body: nn.Module) -> None:
        """`body`: from images [n, C, H, W] to [n, ...]."""
        super().__init__()
        self.body = body

    def forward(self, samples: Tensor) -> Tensor:
        """[n, C, H, W] to what the body gives of so many."""
        found = self.body(torch.cat([samples, samples.flip(3)]))
        return (found[: len(samples)] + found[len(samples) :]) / 2


class PatchFeatures(Initialised):
    """relu(z - 1/2) and relu(-z - 1/2), averaged over a 2x2 grid: [n, C, H, W] to [n, 2 K, 4].

    z is the response of a filter to a patch without its mean and of unit contrast.
    """

    def __init__(self, channels: int, width: int) -> None:
        """`width`: the number K of filters."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, channels, _SIDE, _SIDE))

    def initial(self, stream: Stream) -> dict[str, Tensor]:
        """`weight`: patches of dead leaves, whitened (Coates and Ng 2012, section 3)."""
        width, channels = self.weight.shape[:2]
        filters = _filters(int(stream.raw(1)[0]), width, channels)
        return {"weight": torch.from_numpy(filters).view(self.weight.shape)}

    def forward(self, samples: Tensor) -> Tensor:
        """Contrast is computed in float32 at least: of half-precision squares nothing would be left."""
        exact = samples if samples.dtype == torch.float64 else samples.float()
        mean, square = (
            functional.avg_pool2d(part.mean(dim=1, keepdim=True), _SIDE, stride=1) for part in (exact, exact * exact)
        )
        contrast = ((square - mean * mean).clamp_min(0) + _FAINT**2).rsqrt().to(samples.dtype)
        # Filters sum to zero, so they do not see a patch's mean.
        response = (_responses(samples, self.weight.to(samples.dtype)) * contrast).permute(0, 2, 3, 1)
        # Pooling as a product runs several times as fast as torch's, there and back.
        sums = _quarters(response.shape[1], response.shape[2], response)
        places = response.flatten(1, 2)
        parts = [sums @ functional.relu(signed - _THRESHOLD) for signed in (places, -places)]
        # A filter's quarters side by side: what is alike lies together, and the root on the wire codes a sixth shorter.
        return (torch.cat(parts, dim=2) / sums.sum(dim=1, keepdim=True)).transpose(1, 2)


def _features(network: str, shape: tuple[int, ...], width: int) -> PatchFeatures:
    channels, height, across = image_shape(network, shape)
    require_side(network, height, across, _SMALLEST_PICTURE)
    return PatchFeatures(channels, width)


def _responses(samples: Tensor, weight: Tensor) -> Tensor:
    """The convolution, [n, K, H - 5, W - 5]: a row's neighbours become channels first, since convolutions of three
    channels are slow, above all on the way back."""
    width, channels, side, _ = weight.shape
    across = samples.shape[3] - side + 1
    beside = torch.cat([samples[..., first : first + across] for first in range(side)], dim=1)
    beside = beside.contiguous(memory_format=torch.channels_last)
    return functional.conv2d(beside, weight.permute(0, 3, 1, 2).reshape(width, side * channels, side, 1))


def _quarters(height: int, width: int, like: Tensor) -> Tensor:
    """Which of height x width places lie in which quarter, 0 or 1: [4, height * width]; an odd middle lies on both
    sides, as adaptive pooling has it."""
    down, across = (_halves(size, like.device) for size in (height, width))
    return torch.stack([torch.outer(rows, columns).flatten() for rows in down for columns in across]).to(like)


def _halves(size: int, device: torch.device) -> Tensor:
    place = torch.arange(size, device=device)
    return torch.stack([place < -(-size // _GRID), place >= size // _GRID]).float()


@lru_cache(maxsize=8)
def _filters(seed: int, width: int, channels: int) -> np.ndarray:
    """`width` filters of unit-contrast patches, float32 [width, channels * 36], multiples of `_GRAIN`."""
    stream = Stream(seed, "patches")
    cut = _cut(stream, dead_leaves(stream, _PICTURES, channels, _PICTURE_SIDE))
    mean = cut.mean(axis=0)
    variance, axes = np.linalg.eigh((cut - mean).T @ (cut - mean) / (len(cut) - 1))
    whitener = (axes / np.sqrt(variance.clip(0) + _REGULARISER)) @ axes.T
    chosen = stream.integers(len(cut), width)
    dictionary = (cut[chosen] - mean) @ whitener
    dictionary /= np.sqrt((dictionary * dictionary).sum(axis=1, keepdims=True))
    filters = dictionary @ whitener
    filters -= filters.mean(axis=1, keepdims=True)
    return (np.rint(filters / _GRAIN) * _GRAIN).astype(np.float32)


def _cut(stream: Stream, pictures: np.ndarray) -> np.ndarray:
    """Patches at random places, each with mean 0 and variance 1, but for plain ones: float64 [n, channels * 36]."""
    count, channels, side, _ = pictures.shape
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (_SIDE, _SIDE), axis=(2, 3))
    places = stream.integers(side - _SIDE + 1, (2, count, _PATCHES_EACH))
    found = windows[np.arange(count)[:, None], :, places[0], places[1]].reshape(-1, channels * _SIDE**2)
    found = found - found.mean(axis=1, keepdims=True)
    spread = np.sqrt((found * found).mean(axis=1, keepdims=True))
    return (found / np.maximum(spread, _PLAIN))[spread[:, 0] > _PLAIN]
