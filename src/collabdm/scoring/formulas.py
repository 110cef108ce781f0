"""The scores of DD-Ranking (Li et al., arXiv 2505.13300), from accuracies.

Accuracies are shares in [0, 1] here, as its paper has them, and so are scores. Its package (0.2.0) computes the same
formulas, but is handed accuracies in percent, which puts a score of two points' gain at 3 instead of 0.28.
"""

import math
from dataclasses import dataclass

__all__ = ["WEIGHT", "AugmentationRobust", "LabelRobust", "augmentation_robust", "label_robust"]

WEIGHT = 0.5
"""That of the two terms, on DD-Ranking's board."""


@dataclass(frozen=True, kw_only=True)
class LabelRobust:
    """`hlr`: what hard labels lack of full data; `ior`: what the set gains over random samples; `lrs`, in [0, 1] where
    1 is a gain of 1 with nothing lacking, and 0.269 neither gain nor lack."""

    hlr: float
    ior: float
    lrs: float


@dataclass(frozen=True, kw_only=True)
class AugmentationRobust:
    """What the set gains over random samples, with augmentation and without; `ars`, on the scale of `lrs`."""

    gain: float
    gain_plain: float
    ars: float


def label_robust(
    *, full_hard: float, set_hard: float, set_any: float, random_any: float, weight: float = WEIGHT
) -> LabelRobust:
    """Label-robust score: HLR = full_hard - set_hard, IOR = set_any - random_any, alpha = w IOR - (1 - w) HLR, and
    LRS = (e^alpha - e^-1) / (e - e^-1).

    `any` is training with the set's own kind of labels (soft where it has them), for the random samples too.
    """
    hlr, ior = full_hard - set_hard, set_any - random_any
    return LabelRobust(hlr=hlr, ior=ior, lrs=_on_scale(weight * ior - (1 - weight) * hlr))


def augmentation_robust(
    *, set_augmented: float, random_augmented: float, set_plain: float, random_plain: float, weight: float = WEIGHT
) -> AugmentationRobust:
    """Augmentation-robust score: beta = w (set_augmented - random_augmented) + (1 - w) (set_plain - random_plain), and
    ARS = (e^beta - e^-1) / (e - e^-1)."""
    gain, plain = set_augmented - random_augmented, set_plain - random_plain
    return AugmentationRobust(gain=gain, gain_plain=plain, ars=_on_scale(weight * gain + (1 - weight) * plain))


def _on_scale(exponent: float) -> float:
    return (math.exp(exponent) - math.exp(-1)) / (math.exp(1) - math.exp(-1))
