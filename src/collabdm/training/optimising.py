"""Gradient descent by a recipe: momentum, weight decay, and the rate as the epochs pass."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from collabdm.storage.checkpoints import optimiser_state, restore_optimiser
from collabdm.training.recipes import Recipe
from collabdm.training.shuffling import Batch

__all__ = ["Descent", "cosine_rate"]


class Descent:
    """Steps of the parameters along their `.grad`, through `epochs` passes over `size` samples; begun in `epoch`."""

    def __init__(
        self, parameters: Mapping[str, Tensor], recipe: Recipe, *, size: int, epochs: int, epoch: int = 0
    ) -> None:
        self._parameters, self._recipe = list(parameters.values()), recipe
        self._size, self._epochs = size, epochs
        self._optimiser = self._without_past(epoch)

    def step(self, batch: Batch) -> None:
        """One step, by the gradient of this batch."""
        if self._recipe.schedule == "cosine":
            rate = self._recipe.lr * cosine_rate(batch.epoch * self._size + batch.start, self._epochs * self._size)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
        elif batch.first and batch.epoch == self._epochs // 2 + 1:
            self._optimiser = self._without_past(batch.epoch)
        self._optimiser.step()

    def state(self) -> dict[str, Tensor]:
        """What the optimiser remembers, for a checkpoint."""
        return optimiser_state(self._optimiser)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        restore_optimiser(self._optimiser, state)

    def _without_past(self, epoch: int) -> torch.optim.SGD:
        recipe = self._recipe
        lr = recipe.lr * 0.1 if recipe.schedule == "half-time" and epoch > self._epochs // 2 else recipe.lr
        return torch.optim.SGD(self._parameters, lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def cosine_rate(shown: int, total: int) -> float:
    """The share of the first rate that is left once `shown` of `total` samples were: half a cosine, from 1 to 0."""
    return (1 + math.cos(math.pi * shown / total)) / 2
