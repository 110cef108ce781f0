"""Passes over samples in shuffled batches, which can be left and entered again between any two batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.randomness import Stream

__all__ = ["Batch", "Place", "batches"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Where a walk through the epochs is: `epoch`, the first sample not yet shown of its order (`start`), and the
    stream's position from before that order was drawn."""

    epoch: int
    start: int
    position: np.ndarray

    def tensors(self) -> dict[str, Tensor]:
        """As a part of a checkpoint's state."""
        numbers = {"epoch": torch.tensor(self.epoch), "start": torch.tensor(self.start)}
        return numbers | {"position": torch.from_numpy(self.position)}

    @staticmethod
    def of(tensors: dict[str, Tensor]) -> "Place":
        """What `tensors` gave."""
        position = tensors["position"].numpy()
        return Place(epoch=int(tensors["epoch"]), start=int(tensors["start"]), position=position)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Indices `rows` of one batch; how many samples its `epoch` showed before it (`start`); whether it is the `first`
    or `last` of that epoch; and the place `after` it."""

    epoch: int
    start: int
    rows: np.ndarray
    first: bool
    last: bool
    after: Place


def batches(stream: Stream, size: int, batch: int, epochs: int, begin: Place | None = None) -> Iterator[Batch]:
    """All batches of `epochs` passes over `size` samples, each pass in a fresh order of the stream; or those that are
    left from the place `begin`."""
    if begin is not None:
        stream.move_to(begin.position)
    for epoch in range(begin.epoch if begin else 0, epochs):
        position = stream.position
        order = stream.permutation(size)
        first = begin.start if begin and epoch == begin.epoch else 0
        for start in range(first, size, batch):
            yield Batch(
                epoch=epoch,
                start=start,
                rows=order[start : start + batch],
                first=start == 0,
                last=start + batch >= size,
                after=Place(epoch=epoch, start=start + batch, position=position),
            )
