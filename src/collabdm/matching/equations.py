"""The normal equations of all data, in features of mean 0 and variance 1: made of sums alone."""

from dataclasses import dataclass

import numpy as np

from collabdm.matching.gram import FeatureSums

__all__ = ["NormalEquations", "normal_equations"]

# Of the largest standard deviation: a feature that varies less is taken for constant, and says nothing.
_CONSTANT = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalEquations:
    """z = (phi - `mean`) / `scale` is the standardised feature of length d, and t a one-hot label less `share`.

    `gram`: the mean of z z^T, [d, d]; `cross`: the mean of z t^T, [d, classes]; `share`: of each class, [classes];
    `count`: samples; `spread`: the mean of |t|^2. All float64. A constant feature has scale infinity, so z = 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    gram: np.ndarray
    cross: np.ndarray
    share: np.ndarray
    count: float
    spread: float


def normal_equations(sums: FeatureSums) -> NormalEquations:
    """Of the samples behind the sums."""
    count = float(sums.counts.sum())
    share, mean = sums.counts / count, sums.first.sum(axis=0) / count
    covariance = sums.second / count - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    scale = np.where(deviation > _CONSTANT * deviation.max(initial=0.0), deviation, np.inf)
    cross = (sums.first / count - share[:, None] * mean).T / scale[:, None]
    return NormalEquations(
        mean=mean,
        scale=scale,
        gram=covariance / scale[:, None] / scale,
        cross=cross,
        share=share,
        count=count,
        spread=float((share * (1 - share)).sum()),
    )
