"""Differentiable Siamese augmentation (DSA) with explicit parameters.

When matching, ONE operation is drawn per (seed, class) and applied with the same parameters to every sample of that
class, real or synthetic, so that client and server see the same transform (DESIGN of DSA: Zhao & Bilen, ICML 2021).
When training classifiers, one operation is drawn per batch with parameters per image. Images are normalised pixels;
what an operation uncovers is 0, the mean pixel.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.engine.placing import uploaded
from collabdm.registry import Table

__all__ = ["OPERATIONS"]

PAD = 0.125
CUTOUT = 0.5
SCALE = 1.2
DEGREES = 15.0


def _colour(images: Tensor, u: np.ndarray) -> Tensor:
    brightness, saturation, contrast = (_placed(u[:, i], images).view(-1, 1, 1, 1) for i in range(3))
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def _crop(images: Tensor, u: np.ndarray) -> Tensor:
    n, channels, height, width = images.shape
    pads = [math.floor(side * PAD + 0.5) for side in (height, width)]
    padded = functional.pad(images, (pads[1], pads[1], pads[0], pads[0]))
    tops, lefts = (_index(u[:, axis], 2 * pad + 1) for axis, pad in enumerate(pads))
    if len(u) == 1:
        top, left = int(tops[0]), int(lefts[0])
        return padded[:, :, top : top + height, left : left + width]
    rows = uploaded(torch.from_numpy(tops[:, None] + np.arange(height)), images.device)
    columns = uploaded(torch.from_numpy(lefts[:, None] + np.arange(width)), images.device)
    samples = torch.arange(n, device=images.device).view(-1, 1, 1, 1)
    planes = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return padded[samples, planes, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def _cutout(images: Tensor, u: np.ndarray) -> Tensor:
    inside = []
    for axis, side in enumerate(images.shape[2:]):
        hole = math.floor(side * CUTOUT + 0.5)
        start = _index(u[:, axis], side + 1 - hole % 2)[:, None] - hole // 2
        position = np.arange(side)
        inside.append((position >= start) & (position < start + hole))
    rows, columns = inside
    kept = ~(rows[:, None, :, None] & columns[:, None, None, :])
    return images * uploaded(torch.from_numpy(kept), images.device)


def _flip(images: Tensor, u: np.ndarray) -> Tensor:
    flipped = uploaded(torch.from_numpy(u[:, 0] < 0.5), images.device)
    return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)


def _scale(images: Tensor, u: np.ndarray) -> Tensor:
    factors = _placed(u[:, :2] * (SCALE - 1 / SCALE) + 1 / SCALE, images)
    zero = torch.zeros_like(factors[:, 0])
    return _affine(images, torch.stack([factors[:, 0], zero, zero, zero, factors[:, 1], zero], dim=1))


def _rotate(images: Tensor, u: np.ndarray) -> Tensor:
    angle = (u[:, 0] - 0.5) * (2 * DEGREES * math.pi / 180)
    cos, sin = _placed(np.cos(angle), images), _placed(np.sin(angle), images)
    zero = torch.zeros_like(cos)
    return _affine(images, torch.stack([cos, -sin, zero, sin, cos, zero], dim=1))


def _affine(images: Tensor, matrices: Tensor) -> Tensor:
    matrices = matrices.view(-1, 2, 3).expand(len(images), 2, 3)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _index(uniform: np.ndarray, high: int) -> np.ndarray:
    # In float64 whatever the images' dtype, so that every engine cuts at the same pixel.
    return np.minimum(np.floor(uniform * high).astype(np.int64), high - 1)


def _placed(values: np.ndarray, images: Tensor) -> Tensor:
    return uploaded(torch.from_numpy(np.ascontiguousarray(values)), images.device, images.dtype)


OPERATIONS: dict[str, Callable[[Tensor, np.ndarray], Tensor]] = Table(
    {
        "colour": _colour,
        "crop": _crop,
        "cutout": _cutout,
        "flip": _flip,
        "scale": _scale,
        "rotate": _rotate,
    }
)
