"""Synthetic images as networks are trained on them."""

from dataclasses import dataclass

from torch import Tensor

from collabdm.images.partition_expand import expand
from collabdm.images.pixels import Normalisation
from collabdm.training.loop import TrainingSet

__all__ = ["Shown"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """The synthetic images as networks are trained on them: stored [n, C, H, W], expanded and augmented when shown."""

    images: Tensor
    labels: Tensor
    factor: int
    normalisation: Normalisation
    augment: tuple[str, ...]

    def training_set(self, rows: Tensor | None = None) -> TrainingSet:
        """The (expanded) images, or those of the stored ones at `rows`; no gradient goes back to them."""
        images, labels = self.images.detach(), self.labels
        if rows is not None:
            images, labels = images[rows], labels[rows]
        return TrainingSet(
            images=expand(images, self.factor),
            labels=labels.repeat_interleave(self.factor**2),
            normalisation=self.normalisation,
            augment=self.augment,
        )
