"""What a set is scored by: training sets of itself, of random real samples of its size, and of all data."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.errors import DataError, explain
from collabdm.modality import Modality
from collabdm.randomness import Stream
from collabdm.scoring.foreign import ForeignSet
from collabdm.training.training_set import TrainingSet

__all__ = ["Source", "plain", "random_rows"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Where training sets come from: the set, the real training data, and how samples are augmented."""

    foreign: ForeignSet
    train: Samples
    sample: Modality
    augment: tuple[str, ...]

    def own(self, *, soft: bool = False) -> TrainingSet:
        """The set, with its soft labels or the hard ones."""
        return self._training(self.foreign.samples, self.foreign.labels, self.foreign.targets if soft else None)

    def random(self, rows: np.ndarray, targets: Tensor | None = None) -> TrainingSet:
        """Real samples at `rows`, with targets float32 [n, classes] of a teacher."""
        values = self.sample.tensors(self.train.values[rows], device="cpu", dtype=torch.float32)
        return self._training(values, torch.from_numpy(self.train.labels[rows]), targets)

    def all_data(self) -> TrainingSet:
        """All training data, with their labels."""
        return TrainingSet(
            samples=self.train, labels=torch.from_numpy(self.train.labels), sample=self.sample, augment=self.augment
        )

    def _training(self, samples: Tensor, labels: Tensor, targets: Tensor | None) -> TrainingSet:
        return TrainingSet(samples=samples, labels=labels, sample=self.sample, augment=self.augment, targets=targets)


def plain(training: TrainingSet) -> TrainingSet:
    """The same, shown as it is: without augmentation."""
    return dataclasses.replace(training, augment=())


def random_rows(train: Samples, counts: list[int], seed: int, draw: int) -> np.ndarray:
    """Rows of the training data, as many of each class as `counts` says, int64; `draw` tells draws of a seed apart.

    Raises `DataError` where a class has fewer.
    """
    rows = []
    for y, (wanted, held) in enumerate(zip(counts, train.counts().tolist(), strict=True)):
        if wanted > held:
            got, fix = f"{held} of {train.classes[y]}", "score the set on the data that it was made of"
            expected = f"at least {wanted}, as the set has"
            raise DataError(explain("training samples to draw", got=got, expected=expected, fix=fix))
        rows.append(train.of_class(y)[Stream(seed, "score random-real", draw, y).choose(held, wanted)])
    return np.concatenate(rows)
