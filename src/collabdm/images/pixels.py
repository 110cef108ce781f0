"""Stored pixels to normalised images, one chunk at a time.

Normalisation belongs to the plan: constants that every party knows, never computed from pooled data, which no
server of a real round can see.
"""

from functools import lru_cache

import numpy as np
import torch
from pydantic import BaseModel, model_validator
from torch import Tensor

from collabdm.engine.placing import uploaded

__all__ = ["Normalisation", "denormalised", "normalised"]


# Pixels lie in [0, 1]: constants far beyond would only overflow.
_MOST = 1e3


class Normalisation(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Mean and standard deviation per channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _agree(self) -> "Normalisation":
        if len(self.mean) != len(self.std) or not self.mean:
            given = f"{len(self.mean)} and {len(self.std)}"
            raise ValueError(f"normalisation needs one mean and one std per channel, got {given}")
        if abs(far := max(self.mean, key=abs)) > _MOST:
            raise ValueError(f"a mean must be from -{_MOST:g} to {_MOST:g}, got {far:g}")
        if (least := min(self.std)) < 1e-6:
            raise ValueError(f"a std must be at least 1e-6, got {least:g}")
        if (most := max(self.std)) > _MOST:
            raise ValueError(f"a std must be at most {_MOST:g}, got {most:g}")
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


@lru_cache(maxsize=16)
def _constants(normalisation: Normalisation, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    mean = torch.tensor(normalisation.mean, dtype=dtype, device=device).view(-1, 1, 1)
    return mean, torch.tensor(normalisation.std, dtype=dtype, device=device).view(-1, 1, 1)
