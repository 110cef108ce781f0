"""The ridge classifier of all data, from sums alone; its penalty too needs no data."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from collabdm.matching.equations import NormalEquations

__all__ = ["Ridge", "ridge"]

# Times the mean variance of a standardised feature: from none that matters to one that hides all.
_PENALTIES = 10.0 ** np.arange(-6, 1.01, 0.25)

# Smaller eigenvalues, beside the largest, are rounding.
_RANK = 1e-10

# Of the length of the noise's largest eigenvector, 2 sqrt(d) times its standard deviation: chosen on held-out training
# data of three kinds at two promises (docs/privacy.md).
_NOISE_PENALTY = 0.21


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """Scores phi @ `weight` + `bias`: float64 [d, classes] and [classes], of raw features.

    `penalty`: what was added to the diagonal of the standardised Gram matrix; `error`: the generalised
    cross-validation estimate of the mean squared error, for the variance of the labels.
    """

    weight: np.ndarray
    bias: np.ndarray
    penalty: float
    error: float


@lru_cache(maxsize=1)  # a round asks for it twice: for the file, and to refine
def ridge(equations: NormalEquations) -> Ridge:
    """The classifier with the penalty of least generalised cross-validation error (Golub, Heath and Wahba 1979).

    The residual sum of squares and the degrees of freedom of every penalty follow from one eigendecomposition. Of noisy
    sums they say nothing; there the penalty is as large as the noise, which is known. Of what was rounded they say too
    much: a penalty below the rounding would take it for the data, and none such is tried.
    """
    values, axes = np.linalg.eigh(equations.gram)
    values = values.clip(0)
    turned = axes.T @ equations.cross
    energy = (turned * turned).sum(axis=1)
    penalties = _PENALTIES[min(equations.rounding, _PENALTIES[-1]) <= _PENALTIES]
    if equations.noise:
        penalties = np.array([_NOISE_PENALTY * 2 * len(values) ** 0.5 * equations.noise])
    errors = [_error(equations, values, energy, penalty) for penalty in penalties]
    best = int(np.argmin(errors))
    weight = axes @ (turned / (values + penalties[best])[:, None]) / equations.scale[:, None]
    return Ridge(
        weight=weight,
        bias=equations.share - equations.mean @ weight,
        penalty=float(penalties[best]),
        error=errors[best] / equations.spread if equations.spread else 0.0,
    )


def _error(equations: NormalEquations, values: np.ndarray, energy: np.ndarray, penalty: float) -> float:
    """GCV = (RSS / n) / (1 - df / n)^2; the mean counts as one degree of freedom.

    RSS in two parts, what no penalty explains and what this one shrinks: as a difference it would be nothing but
    rounding where there are fewer samples than features, and so least there.
    """
    seen = values > _RANK * values.max(initial=0.0)
    explained = energy[seen] / values[seen]
    kept = penalty / (values[seen] + penalty)
    residual = max(equations.spread - float(explained.sum()), 0.0) + float((explained * kept**2).sum())
    freedom = 1 + float((values / (values + penalty)).sum())
    left = 1 - freedom / equations.count
    return residual / left**2 if left > 0 else np.inf
