"""Operations of the augmentation for rows of a table."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from collabdm.modality import Operation
from collabdm.randomness import Stream

__all__ = ["OPERATIONS"]

# A twentieth of a declared range to either side.
_NOISE = 0.1


def _noise(samples: Tensor, uniforms: np.ndarray) -> Tensor:
    """Every column moved by a step of its own: all rows alike, or each by itself where there are numbers for each.

    Three uniform numbers seed as many steps as a row has values.
    """
    steps = np.stack([_steps(row, samples.shape[1]) for row in uniforms])
    return samples + torch.from_numpy(steps).to(samples)


def _steps(uniforms: np.ndarray, width: int) -> np.ndarray:
    seed = int(uniforms[0] * 2.0**53)
    return Stream(seed, "column noise").uniform(width, -_NOISE, _NOISE)


OPERATIONS: Mapping[str, Operation] = {"noise": _noise}
"""None is taken by default."""
