"""Testing a trained network, by itself or with the teacher of its set's round beside it: their logits are added.

The softmax of the sum is the normalised product of their beliefs, each to the power of its weight. A weight is folded
into a network's last layer, so that what is kept is nothing but two networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from collabdm.training.scores import Scores, scores
from collabdm.training.teacher_labels import TeacherLabels

__all__ = ["Voter", "added_logits", "test_accuracy", "voters_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Voter:
    """A network and its parameters by name."""

    network: Architecture[Any]
    parameters: Mapping[str, Tensor]

    def weighted(self, weight: float) -> "Voter":
        """The same network whose logits are `weight` times as large."""
        last = {name: weight * value for name, value in self.parameters.items() if name.startswith("classifier.")}
        return Voter(network=self.network, parameters={**self.parameters, **last})


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


def voters_of(own: Voter, teacher: TeacherLabels | None, share: float) -> tuple[Voter, ...]:
    """`own` as it is where the share is 0; else with the weight 1 - `share`, and the teacher with `share` beside it."""
    if not share or teacher is None:
        return (own,)
    beside = Voter(network=teacher.network, parameters=teacher.parameters)
    return own.weighted(1 - share), beside.weighted(share)


def added_logits(
    voters: Sequence[Voter], values: np.ndarray, *, classes: int, sample: Modality, engine: Engine
) -> Tensor:
    """What the voters say together of stored samples, `values` [n, ...]: [n, classes], on the CPU."""
    said = [
        logits(voter.parameters, values, voter.network, classes=classes, sample=sample, engine=engine)
        for voter in voters
    ]
    return torch.stack(said).sum(dim=0)
