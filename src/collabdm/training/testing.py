"""Testing a trained network, by itself or with the teacher of its set's round beside it: their logits are added.
A recipe may show them every view of a sample, of a photograph its mirror image too.

The softmax of the sum is the normalised product of their beliefs, each to the power of its weight. A weight is folded
into a network's last layer, so that what is kept is nothing but two networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.modality import Modality
from collabdm.networks import Architecture
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.loop import logits
from collabdm.training.predicting import predictions
from collabdm.training.recipes import Recipe
from collabdm.training.scores import Scores, scores
from collabdm.training.training_set import TrainingSet

__all__ = ["Voter", "added_logits", "test_accuracy", "voters_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Voter:
    """A network and its parameters by name; its logits are the mean over all views of a sample under the operations
    `views` (`Modality.views`)."""

    network: Architecture[Any]
    parameters: Mapping[str, Tensor]
    views: tuple[str, ...] = ()

    def weighted(self, weight: float) -> "Voter":
        """The same network whose logits are `weight` times as large."""
        last = {name: weight * value for name, value in self.parameters.items() if name.startswith("classifier.")}
        return replace(self, parameters={**self.parameters, **last})


def test_accuracy(
    voters: Sequence[Voter], test: Samples, sample: Modality, engine: Engine, checkpoint: Checkpoint | None = None
) -> Scores:
    """How right the voters are together on all test samples; with a `checkpoint` an interrupted test goes on."""
    classes = len(test.classes)

    def predict(first: int, last: int) -> Tensor:
        found = added_logits(voters, test.values[first:last], classes=classes, sample=sample, engine=engine)
        return found.argmax(dim=1)

    predicted = predictions(predict, len(test), chunk=engine.chunk, checkpoint=checkpoint)
    return scores(predicted, test.labels, classes)


def voters_of(
    network: Architecture[Any], parameters: Mapping[str, Tensor], training: TrainingSet, recipe: Recipe
) -> tuple[Voter, ...]:
    """A network that was trained by the recipe, as the recipe tests it: on all views of a sample, if it says so; where
    the teacher has a share, with the rest of it, and the teacher with that share beside it."""
    views, teacher, share = training.views(recipe), training.teacher, recipe.beside
    own = Voter(network=network, parameters=parameters, views=views)
    if not share or teacher is None:
        return (own,)
    beside = Voter(network=teacher.network, parameters=teacher.parameters, views=views)
    return own.weighted(1 - share), beside.weighted(share)


def added_logits(
    voters: Sequence[Voter], values: np.ndarray, *, classes: int, sample: Modality, engine: Engine
) -> Tensor:
    """What the voters say together of stored samples, `values` [n, ...]: [n, classes], on the CPU."""
    said = [
        logits(
            voter.parameters, values, voter.network, classes=classes, sample=sample, engine=engine, views=voter.views
        )
        for voter in voters
    ]
    return torch.stack(said).sum(dim=0)
