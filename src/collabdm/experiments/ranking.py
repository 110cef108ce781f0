"""How well one ranking of networks foretells another: correlation of ranks, the regret of a choice, and how sure.

`full` is the ranking that counts, by training on all data; `proxy` is the cheap one. Both are accuracies, float [n].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from collabdm.randomness import Stream

__all__ = ["DRAWS", "Interval", "Statistic", "ahead", "bootstrap", "ranks", "regret", "spearman", "top", "top_spearman"]

DRAWS = 1000
"""Resamples of a bootstrap interval."""

Statistic = Callable[[np.ndarray, np.ndarray], float | None]
"""Of (full, proxy); None where it is not defined."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A percentile interval; `undefined`: in how many of the resamples the statistic was not, which are left out."""

    low: float
    high: float
    undefined: int


def ranks(values: np.ndarray) -> np.ndarray:
    """float64 [n]: 1 for the smallest value; those that are equal share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which.reshape(-1)]


def spearman(full: np.ndarray, proxy: np.ndarray) -> float | None:
    """Spearman's rank correlation with ties: Pearson's of the `ranks`. None where a side is all equal, or holds one."""
    if len(full) < 2:
        return None
    one, other = (ranks(values) - (len(values) + 1) / 2 for values in (full, proxy))
    spread = float(np.sqrt((one @ one) * (other @ other)))
    # Rounding must not carry a perfect order beyond 1.
    return float(np.clip(one @ other / spread, -1, 1)) if spread else None


def top(full: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` best by `full`, the best first; of equals the one that comes first."""
    return np.argsort(-full, kind="stable")[:count]


def top_spearman(count: int) -> Statistic:
    """`spearman` among the `count` networks that are best by `full`; None where there are not so many."""

    def among(full: np.ndarray, proxy: np.ndarray) -> float | None:
        best = top(full, count)
        return spearman(full[best], proxy[best]) if len(best) == count else None

    return among


def regret(full: np.ndarray, proxy: np.ndarray) -> float:
    """By how much the network that `proxy` puts first is worse by `full` than the best there is; of several that it
    puts first, their mean, as one would draw among them."""
    return float(full.max() - full[proxy == proxy.max()].mean())


def bootstrap(values: np.ndarray, statistic: Callable[[np.ndarray], float | None], stream: Stream) -> Interval | None:
    """Where a statistic of `values` [rankings, n] lies for networks drawn anew with replacement: the middle 95 % of
    `DRAWS` resamples.

    None where it is not defined for the networks themselves, or for fewer than half of the resamples.
    """
    if statistic(values) is None:
        return None
    count = values.shape[1]
    drawn = [statistic(values[:, stream.integers(count, count)]) for _ in range(DRAWS)]
    defined = [value for value in drawn if value is not None]
    if 2 * len(defined) < DRAWS:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return Interval(low=float(low), high=float(high), undefined=DRAWS - len(defined))


def ahead(statistic: Statistic) -> Callable[[np.ndarray], float | None]:
    """Of (full, one proxy, another) [3, n]: by how much the statistic of the one is greater; None where one of them is
    not defined. Both are of the same networks, so that its interval is a paired one."""

    def difference(values: np.ndarray) -> float | None:
        one, other = statistic(values[0], values[1]), statistic(values[0], values[2])
        return None if one is None or other is None else one - other

    return difference
