"""Stored pixels to normalised images, one chunk at a time.

Normalisation belongs to the plan: constants that every party knows, never computed from pooled data, which no
server of a real round can see.
"""

from functools import lru_cache

import numpy as np
import torch
from pydantic import BaseModel, model_validator
from torch import Tensor

__all__ = ["Normalisation", "channels_last", "denormalised", "normalised", "uploaded"]


class Normalisation(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Mean and standard deviation per channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _agree(self) -> "Normalisation":
        if len(self.mean) != len(self.std) or not self.mean or min(self.std) < 1e-6:
            raise ValueError("normalisation needs one mean and one std of at least 1e-6 per channel")
        return self


def normalised(images: np.ndarray, normalisation: Normalisation, *, device: str, dtype: torch.dtype) -> Tensor:
    """uint8 [n, C, H, W] (divided by 255) or float [0, 1] pixels to (pixel - mean) / std, on `device`."""
    # Read-only arrays are copied: torch would warn about them.
    pixels = uploaded(torch.from_numpy(np.require(images, requirements=["C", "W"])), torch.device(device))
    scale = 255.0 if pixels.dtype == torch.uint8 else 1.0
    mean, std = _constants(normalisation, pixels.device, dtype)
    return (pixels.to(dtype) / scale - mean) / std


def denormalised(images: Tensor, normalisation: Normalisation) -> Tensor:
    """Normalised images [n, C, H, W] to pixels, about [0, 1] but not clipped."""
    mean, std = _constants(normalisation, images.device, images.dtype)
    return images * std + mean


def uploaded(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on `device`, without waiting for what a GPU has yet to do.

    Torch's plain `to` waits, and a loop of small operations then runs no faster than they can be launched. The values
    are those at the call: memory that is not pinned is copied aside first.
    """
    return tensor.to(device, tensor.dtype if dtype is None else dtype, non_blocking=device.type == "cuda")


def channels_last(images: Tensor) -> Tensor:
    """The same [n, C, H, W], with strides by which torch knows them for channels-last even where C is 1.

    `contiguous(memory_format=torch.channels_last)` leaves a single channel's strides alone; torch then computes all
    that follows channels first, and average pooling alone takes ten times as long.
    """
    n, channels, height, width = images.shape
    return images.permute(0, 2, 3, 1).reshape(n, -1).view(n, height, width, channels).permute(0, 3, 1, 2)


@lru_cache(maxsize=16)
def _constants(normalisation: Normalisation, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    mean = torch.tensor(normalisation.mean, dtype=dtype, device=device).view(-1, 1, 1)
    return mean, torch.tensor(normalisation.std, dtype=dtype, device=device).view(-1, 1, 1)
