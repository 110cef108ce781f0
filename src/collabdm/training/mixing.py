"""Batches whose samples are mixed with one another, and their targets in the same shares."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from collabdm.engine import Engine
from collabdm.modality import Augmentation
from collabdm.randomness import Stream
from collabdm.training.training_set import TrainingSet

__all__ = ["Mixing", "draw_mixing", "shown_part"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixing:
    """What is mixed into each of the n samples of a batch: the sample at `partners`, int64 [n], of the same batch, as
    `Modality.mix` takes the numbers `uniforms`, float64 [n, 3] in [0, 1)."""

    partners: np.ndarray
    uniforms: np.ndarray


def draw_mixing(stream: Stream, chance: float, count: int) -> Mixing | None:
    """Partners and numbers for a batch of `count` samples; None for one that stays as it is.

    A recipe without mixing (`chance` 0) draws nothing.
    """
    if not chance or float(stream.uniform()) >= chance:
        return None
    return Mixing(partners=stream.permutation(count), uniforms=stream.uniform((count, 3)))


def shown_part(
    training: TrainingSet,
    rows: np.ndarray,
    part: slice,
    augmentation: Augmentation | None,
    mixing: Mixing | None,
    engine: Engine,
) -> tuple[Tensor, Tensor]:
    """Of the batch with the samples at `rows`, a part as the network is shown it, augmented and mixed: [m, *shape], and
    its labels [m] or targets [m, classes]; what is mixed, or labelled by a teacher, needs targets."""

    def augmented(chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        samples, wanted = training.chunk(rows[chosen], engine)
        return training.sample.augment(samples, augmentation and augmentation.of(chosen)), wanted

    samples, wanted = augmented(np.arange(len(rows))[part])
    if mixing is not None:
        # Partners may lie in other chunks: they are looked up again, augmented by the numbers that they have there.
        others, theirs = augmented(mixing.partners[part])
        samples, share = training.sample.mix(samples, others, mixing.uniforms[part])
        wanted = share[:, None] * wanted + (1 - share[:, None]) * theirs
    return samples, training.teacher.targets(samples, wanted, engine) if training.teacher else wanted
