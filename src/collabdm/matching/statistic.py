"""What is matched: statistics of embeddings, each of them made of sums over samples.

A statistic is a list of terms. A term says what is summed for one sample under one seed; sums add over samples, and so
over clients, whatever the split. On the wire a statistic travels in a well-conditioned form (a mean and a variance,
say): `finish` makes it of the means of the terms, and `additive` gives the means back. A new statistic is one entry in
`STATISTICS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from collabdm.registry import Table

__all__ = [
    "DIRECTION",
    "FIRST",
    "MEAN",
    "MOMENTS",
    "SECOND",
    "STATISTICS",
    "Statistic",
    "Term",
    "joint_terms",
    "term_rows",
]


@dataclass(frozen=True, kw_only=True)
class Term:
    """Something that is summed over samples: `of` maps embeddings [n, d] to [n, rows, d], each sample by itself.

    The number of rows may depend on d (a Gram matrix has d). `name` tells terms apart in what is kept for later.
    """

    name: str
    of: Callable[[Tensor], Tensor]


def _unchanged(parts: Tensor) -> Tensor:
    return parts


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """Its terms; the form in which their means travel and back; and the loss of a synthetic set.

    `finish` and `additive` map [..., rows, d] to the same shape and are each other's inverse. `pooled`: the sums run
    over the samples of all classes together, instead of class by class; a client's classes then weigh by the samples
    drawn of them, clients by the samples held, so that it is the statistic of all samples where batches cover them.
    `loss(target [rows, d], drawn, embeddings [n, d])` gives a scalar: the distance between the statistic of `drawn`
    real samples and that of n synthetic ones (of one class, or of all where it is pooled).
    """

    terms: tuple[Term, ...]
    loss: Callable[[Tensor, int, Tensor], Tensor]
    finish: Callable[[Tensor], Tensor] = _unchanged
    additive: Callable[[Tensor], Tensor] = _unchanged
    pooled: bool = False

    def rows(self, features: int) -> int:
        """How many vectors of length d = `features` the statistic has per seed and class (or seed, if pooled)."""
        return term_rows(self.terms, features)

    def groups(self, classes: int) -> int:
        """How many there are of it per seed, of a holder of so many `classes`."""
        return min(classes, 1) if self.pooled else classes


def joint_terms(statistics: Iterable[Statistic]) -> tuple[Term, ...]:
    """Every term of the statistics once, in the order of first mention: what a holder sums in one pass for all."""
    return tuple(dict.fromkeys(term for statistic in statistics for term in statistic.terms))


def term_rows(terms: Iterable[Term], features: int) -> int:
    """The rows of the terms together, for embeddings of length `features`."""
    nothing = torch.empty(1, features, device="meta")
    return sum(term.of(nothing).shape[1] for term in terms)


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


def _direction(embeddings: Tensor) -> Tensor:
    """Each embedding less its own mean, of length one, whatever the sample: [n, 1, d].

    What samples have in common lies along their means, where noise would drown what tells them apart.
    """
    apart = embeddings - embeddings.mean(dim=1, keepdim=True)
    length = torch.linalg.vector_norm(apart, dim=1, keepdim=True)
    return (apart / length.clamp_min(torch.finfo(length.dtype).tiny)).unsqueeze(1)


def _direction_loss(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
    """Squared distance of the mean directions, each as long as d features of the size one.

    So a rate moves a set about as far as it does where embeddings themselves are matched.
    """
    return embeddings.shape[1] * (target[0] - _direction(embeddings).mean(dim=0)[0]).square().sum()


def _root(variance: Tensor) -> Tensor:
    smallest = 1e-12
    return torch.where(variance > smallest, variance.clamp_min(smallest).sqrt(), torch.zeros_like(variance))


def _to_second_moment(parts: Tensor) -> Tensor:
    mean, variance = parts.unbind(-2)
    return torch.stack([mean, variance + mean * mean], dim=-2)


def _to_variance(parts: Tensor) -> Tensor:
    mean, second = parts.unbind(-2)
    return torch.stack([mean, (second - mean * mean).clamp_min(0)], dim=-2)


FIRST = Term(name="first moment", of=lambda embeddings: embeddings.unsqueeze(1))
SECOND = Term(name="second moment", of=lambda embeddings: (embeddings * embeddings).unsqueeze(1))


MEAN = Statistic(terms=(FIRST,), loss=_mean_loss)
DIRECTION = Statistic(terms=(Term(name="direction", of=_direction),), loss=_direction_loss)
MOMENTS = Statistic(terms=(FIRST, SECOND), loss=_moments_loss, finish=_to_variance, additive=_to_second_moment)
STATISTICS: dict[str, Statistic] = Table(
    {
        "mean": MEAN,
        "moments": MOMENTS,
        "direction": DIRECTION,
        "none": Statistic(terms=(), loss=_mean_loss),
    }
)
