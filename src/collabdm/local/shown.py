"""Synthetic samples as networks are trained on them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.modality import Modality
from collabdm.protocol import Plan
from collabdm.training.training_set import TrainingSet

__all__ = ["Shown", "real_set", "shown_under"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Synthetic samples as networks are trained on them: stored [n, *shape], expanded and augmented when shown."""

    samples: Tensor
    labels: Tensor
    sample: Modality
    tiles: int
    augment: tuple[str, ...]

    def expanded(self, rows: Tensor) -> Tensor:
        """The stored samples at `rows`, expanded; differentiable."""
        return self.sample.expand(self.samples[rows], self.tiles)

    def training_set(self, rows: Tensor | None = None) -> TrainingSet:
        """The (expanded) samples, or those of the stored ones at `rows`; no gradient goes back to them."""
        samples, labels = self.samples.detach(), self.labels
        if rows is not None:
            samples, labels = samples[rows], labels[rows]
        return TrainingSet(
            samples=self.sample.expand(samples, self.tiles),
            labels=labels.repeat_interleave(self.tiles**2),
            sample=self.sample,
            augment=self.augment,
        )


def shown_under(plan: Plan, samples: Tensor, labels: Tensor) -> Shown:
    """Synthetic samples as a plan has them shown."""
    return Shown(samples=samples, labels=labels, sample=plan.sample, tiles=plan.tiles, augment=plan.augment)


def real_set(plan: Plan, samples: Samples) -> TrainingSet:
    """Real samples as a plan has networks trained on them."""
    labels = torch.from_numpy(samples.labels)
    return TrainingSet(samples=samples, labels=labels, sample=plan.sample, augment=plan.augment)
