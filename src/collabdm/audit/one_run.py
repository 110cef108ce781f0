"""A lower bound on epsilon from one round (Steinke, Nasr and Jagielski, 2023, "Privacy Auditing with One (1) Training
Run")."""

import math

import numpy as np
from scipy.stats import binom

__all__ = ["epsilon_at_least", "guesses", "refuted"]

_LARGEST = 64.0


def guesses(scores: np.ndarray, member: np.ndarray, count: int) -> int:
    """How many of `count` guesses are right: the half of them with the largest scores are taken for members, those with
    the smallest for others; the rest of [m] are not guessed."""
    order, half = np.argsort(scores, kind="stable"), count // 2
    low, high = order[:half], order[len(order) - (count - half) :]
    return int((~member[low]).sum() + member[high].sum())


def epsilon_at_least(right: int, guessed: int, *, count: int, delta: float, error: float = 0.05) -> float:
    """The largest epsilon that so good guesses refute, with a chance of at most `error` to be wrong; 0 for none.

    Each of `count` canaries was in the round by a fair coin; of `guessed` guesses `right` were right.
    """
    if not refuted(0.0, right, guessed, count=count, delta=delta, error=error):
        return 0.0
    low, high = 0.0, _LARGEST
    while high - low > 1e-4:
        middle = (low + high) / 2
        if refuted(middle, right, guessed, count=count, delta=delta, error=error):
            low = middle
        else:
            high = middle
    return low


def refuted(epsilon: float, right: int, guessed: int, *, count: int, delta: float, error: float) -> bool:
    """Whether (epsilon, delta)-differential privacy gives so many right guesses a chance below `error` (theorem 5.2).

    Without delta no guess is right with a chance above e^epsilon / (1 + e^epsilon), whatever the others. With it, the
    chance of `right` or more grows by at most 2 m delta max_i P[right - i <= ... < right] / i.
    """
    if guessed == 0:
        return False
    chance = 1.0 / (1.0 + math.exp(-epsilon))
    tail = float(binom.sf(right - 1, guessed, chance))
    if delta > 0 and right > 0:
        steps = np.arange(1, right + 1)
        below = np.cumsum(binom.pmf(right - steps, guessed, chance))
        tail += 2 * count * delta * float((below / steps).max())
    return tail < error
