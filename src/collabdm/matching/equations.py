"""The normal equations of all data, in features of mean 0 and variance 1: made of sums alone."""

from dataclasses import dataclass

import numpy as np

from collabdm.matching.gram import FeatureSums

__all__ = ["NormalEquations", "normal_equations"]

# Of the largest standard deviation: a feature that varies less is taken for constant, and says nothing.
_CONSTANT = 1e-6

# Of noisy features whose variance is lost in the noise.
_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalEquations:
    """z = (phi - `mean`) / `scale` is the standardised feature of length d, and t a one-hot label less `share`.

    `gram`: the mean of z z^T, [d, d]; `cross`: the mean of z t^T, [d, classes]; `share`: of each class, [classes];
    `count`: samples; `spread`: the mean of |t|^2. All float64. A constant feature has scale infinity, so z = 0.
    `noise`: the standard deviation of the noise in a number off the diagonal of `gram`, where the sums are noisy; all
    features then have one scale, since each one's own would be mostly noise, and `gram` is the nearest matrix that
    could be one. `rounding`: the variance, on the diagonal of `gram`, of what was rounded away on the wire.
    """

    mean: np.ndarray
    scale: np.ndarray
    gram: np.ndarray
    cross: np.ndarray
    share: np.ndarray
    count: float
    spread: float
    noise: float = 0.0
    rounding: float = 0.0


def normal_equations(sums: FeatureSums, noise: float = 0.0, *, rounding: float = 0.0) -> NormalEquations:
    """Of the samples behind the sums; `noise`: its standard deviation in a number off the diagonal of `sums.second`;
    `rounding` as in `NormalEquations`."""
    count = float(sums.counts.sum())
    share, mean = sums.counts / count, sums.first.sum(axis=0) / count
    covariance = sums.second / count - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    if noise:
        deviation = np.full_like(deviation, np.sqrt(max(float(np.diagonal(covariance).mean()), _LEAST_VARIANCE)))
        covariance = _nearest(covariance)
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
        noise=noise / count / float(deviation[0]) ** 2 if noise else 0.0,
        rounding=rounding,
    )


def _nearest(symmetric: np.ndarray) -> np.ndarray:
    """The positive semidefinite matrix closest to it in the Frobenius norm."""
    values, axes = np.linalg.eigh(symmetric)
    return (axes * values.clip(0)) @ axes.T
