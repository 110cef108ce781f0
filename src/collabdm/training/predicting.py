"""The classes that a model gives to many samples, which an interruption does not throw away."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from collabdm.storage.checkpoints import Checkpoint

__all__ = ["predictions"]

CHUNKS = 32
"""Between two looks at the clock."""


def predictions(
    predict: Callable[[int, int], Tensor], size: int, *, chunk: int, checkpoint: Checkpoint | None = None
) -> np.ndarray:
    """int64 [size], where `predict(first, last)` gives the classes of the samples from `first` to before `last`.

    It is asked for whole chunks, so that a model that computes chunk by chunk gives the same bits however it was
    interrupted.
    """
    checkpoint = checkpoint or Checkpoint()
    known = [checkpoint.found().get("predicted", torch.zeros(0, dtype=torch.int64))]
    for first in range(len(known[0]), size, CHUNKS * chunk):
        known.append(predict(first, min(first + CHUNKS * chunk, size)))
        checkpoint.keep(lambda: {"predicted": torch.cat(known)})
    return torch.cat(known).numpy()
