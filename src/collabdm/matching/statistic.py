"""What is matched: statistics of embeddings that are additive over samples.

On the wire a statistic has parts in a well-conditioned form (a mean and a variance, say); `additive` turns them into
means of functions of single embeddings, whose weighted sums over clients equal those over all data, and `central`
turns such means back. A new statistic is one entry in `STATISTICS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["MOMENTS", "STATISTICS", "Statistic", "moment_means"]


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """Names of the parts on the wire; their additive form and back; and the loss of one class.

    `additive` and `central` map [..., parts, d] to the same shape and are each other's inverse.
    `loss(target [parts, d], drawn, embeddings [n, d])` gives a scalar: the distance between the statistic of `drawn`
    real samples and that of n synthetic ones.
    """

    parts: tuple[str, ...]
    additive: Callable[[Tensor], Tensor]
    central: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, int, Tensor], Tensor]


def moment_means(embeddings: Tensor) -> Tensor:
    """[n, d] to [n, 2, d]: an embedding and its square, the additive form of `moments` for single samples."""
    return torch.stack([embeddings, embeddings * embeddings], dim=1)


def _mean_loss(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
    """Squared distance of the means (equation 3)."""
    return (target[0] - embeddings.mean(dim=0)).square().sum()


def _moments_loss(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
    """Squared distance of the means plus that of the standard deviations (n - 1 in the denominator on both sides).

    The second term is left out where either side has fewer than two samples. A feature that is constant over the
    synthetic samples passes no gradient through its standard deviation, as in torch's own.
    """
    n = len(embeddings)
    loss = _mean_loss(target, drawn, embeddings)
    if n < 2 or drawn < 2:
        return loss
    real = _root(target[1] * (drawn / (drawn - 1)))
    synthetic = _root((embeddings - embeddings.mean(dim=0)).square().sum(dim=0) / (n - 1))
    return loss + (real - synthetic).square().sum()


def _root(variance: Tensor) -> Tensor:
    smallest = 1e-12
    return torch.where(variance > smallest, variance.clamp_min(smallest).sqrt(), torch.zeros_like(variance))


def _as_is(parts: Tensor) -> Tensor:
    return parts


def _to_second_moment(parts: Tensor) -> Tensor:
    mean, variance = parts.unbind(-2)
    return torch.stack([mean, variance + mean * mean], dim=-2)


def _to_variance(parts: Tensor) -> Tensor:
    mean, second = parts.unbind(-2)
    return torch.stack([mean, (second - mean * mean).clamp_min(0)], dim=-2)


MOMENTS = Statistic(parts=("mean", "variance"), additive=_to_second_moment, central=_to_variance, loss=_moments_loss)
STATISTICS: dict[str, Statistic] = {
    "mean": Statistic(parts=("mean",), additive=_as_is, central=_as_is, loss=_mean_loss),
    "moments": MOMENTS,
    "none": Statistic(parts=(), additive=_as_is, central=_as_is, loss=_mean_loss),
}
