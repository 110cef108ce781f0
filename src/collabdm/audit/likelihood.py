"""LiRA, the likelihood-ratio attack (Carlini et al., 2022, "Membership Inference Attacks From First Principles").

Every round is the one under attack in turn, and all others are its shadows.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Rates", "comparable", "likelihood_ratios", "rates"]

FEW = 16
"""Below so many shadows with (or without) a canary, all canaries share one variance, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How well guesses tell members from others.

    `true_positives`: the share of the `members` that are found when at most `false_positives` of the `others` are taken
    for members; `auc`: the chance that a member scores higher than another (half for a blind guess).
    """

    true_positives: float
    false_positives: float
    auc: float
    members: int
    others: int


def comparable(member: np.ndarray) -> bool:
    """Whether there are a member and another, bool [rounds, m], that have two shadows of either kind each."""
    others = np.stack([_enough(member, target) for target in range(len(member))])
    return bool((others & member).any() and (others & ~member).any())


def likelihood_ratios(scores: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The log of how much likelier each score is of a member, float64 [rounds, m]; NaN where shadows are too few.

    `scores`: [rounds, m] of any attack, larger for members; `member`: bool [rounds, m]. For the score of a canary in a
    round, normal distributions are fitted to its scores in the other rounds, with it and without; two of either are
    needed.
    """
    ratios = np.full(scores.shape, np.nan)
    # Scores may be all but equal in the shadow rounds: a variance of nothing would make any other one infinite.
    least = max(np.finfo(np.float64).eps * float(np.ptp(scores)) ** 2, np.finfo(np.float64).tiny)
    for target in range(len(scores)):
        enough = _enough(member, target)
        if not enough.any():
            continue
        shadows = np.arange(len(scores)) != target
        seen, was = scores[shadows], member[shadows]
        with_it, without = (_normal(seen[:, enough], which[:, enough], least) for which in (was, ~was))
        given = scores[target, enough]
        ratios[target, enough] = _log_density(given, *with_it) - _log_density(given, *without)
    return ratios


def rates(scores: np.ndarray, member: np.ndarray, *, false_positives: float = 0.001) -> Rates:
    """What guesses by `scores` reach; entries that are NaN are left out. Raises `ValueError` where either side is
    empty."""
    known = ~np.isnan(scores)
    inside, outside = scores[known & member], scores[known & ~member]
    if not len(inside) or not len(outside):
        raise ValueError("rates need scores of members and of others")
    allowed = int(false_positives * len(outside))
    # Whoever scores above this: the first of the others that may not be taken for a member.
    least = np.sort(outside)[::-1][allowed] if allowed < len(outside) else -np.inf
    return Rates(
        true_positives=float((inside > least).mean()),
        false_positives=false_positives,
        auc=_auc(inside, outside),
        members=len(inside),
        others=len(outside),
    )


def _enough(member: np.ndarray, target: int) -> np.ndarray:
    """Which canaries are in two of the other rounds, and out of two: bool [m]."""
    others = np.delete(member, target, axis=0)
    return (others.sum(axis=0) >= 2) & ((~others).sum(axis=0) >= 2)


def _normal(scores: np.ndarray, which: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each column's scores at `which`: [m] each; no variance is below `least`."""
    counts = which.sum(axis=0)
    means = np.where(which, scores, 0.0).sum(axis=0) / counts
    squares = np.where(which, (scores - means) ** 2, 0.0)
    own = squares.sum(axis=0) / np.maximum(counts - 1, 1)
    shared = squares.sum() / max(int((counts - 1).sum()), 1)
    variance = np.where(counts < FEW, shared, own)
    return means, np.maximum(variance, least)


def _log_density(scores: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return -0.5 * (np.log(variance) + (scores - mean) ** 2 / variance)


def _auc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Ties count half."""
    order = np.sort(outside)
    below, upto = (np.searchsorted(order, inside, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(outside)))
