"""How the participants' statistics at one (t, y) become one: the mean, and rules that one participant cannot rule.

Estimators are one table: a new one is an entry in `ESTIMATORS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["ESTIMATORS", "FEWEST", "PLAIN", "Rule", "clipped", "combined"]

# Of two values nothing tells the honest one: with fewer participants a rule can only take the mean.
FEWEST = 3


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An estimator by name, its share `trim` dropped on each side, and the norm clipping before it (None: none)."""

    aggregation: str = "mean"
    trim: float = 0.2
    clip: float | None = None

    @property
    def protects(self) -> bool:
        """Whether it is anything else than the plain mean."""
        return self.aggregation != "mean" or self.clip is not None


PLAIN = Rule()


def combined(values: Tensor, weights: Tensor, rule: Rule) -> Tensor:
    """One statistic [rows, d] of the n participants' `values` [n, rows, d] (additive form), `weights` [n] above 0.

    With fewer than `FEWEST` participants it is the plain weighted mean whatever the rule. Sums run in the order given.
    """
    if len(values) < FEWEST:
        return _weighted_mean(values, weights.view(-1, 1, 1))
    if rule.clip is not None:
        values = clipped(values, rule.clip)
    return ESTIMATORS[rule.aggregation](values, weights.view(-1, 1, 1), rule)


def clipped(values: Tensor, most: float) -> Tensor:
    """Every row whose norm exceeds `most` times the median norm of that row is scaled down to it.

    Row by row, since a second moment is of another scale than a mean.
    """
    n, norms = len(values), torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    ordered = norms.sort(dim=0).values
    bound = most * (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    scale = torch.where(norms > bound, bound / norms.clamp_min(torch.finfo(norms.dtype).tiny), 1.0)
    return values * scale


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of w v over sum of w, one participant after another; `weights` [n, 1, 1] or as `values`."""
    total, mass = torch.zeros_like(values[0]), torch.zeros_like(weights[0])
    for value, weight in zip(values, weights, strict=True):
        total += value * weight
        mass += weight
    return total / mass


def _trimmed(values: Tensor, weights: Tensor, rule: Rule) -> Tensor:
    """Coordinate-wise trimmed mean (Yin et al. 2018): at every coordinate the floor(trim n) smallest and as many of the
    largest values are dropped, one at least on each side; then the weighted mean of the rest.

    As long as no more than that many participants lie, every coordinate stays within the honest ones' range, whatever
    the weights. Of equal values the earlier participants' count as smaller.
    """
    n = len(values)
    # The small term keeps 0.29 * 100 at 29.
    dropped = min(max(math.floor(rule.trim * n + 1e-9), 1), (n - 1) // 2)
    # numpy sorts along the first axis in half the time.
    order = np.argsort(values.numpy(), axis=0, kind="stable")
    kept = torch.from_numpy(order[dropped : n - dropped])
    return _weighted_mean(values, weights * torch.zeros_like(values).scatter_(0, kept, 1.0))


ESTIMATORS: dict[str, Callable[[Tensor, Tensor, Rule], Tensor]] = {
    "mean": lambda values, weights, rule: _weighted_mean(values, weights),
    "trimmed": _trimmed,
}
