"""How near synthetic samples lie to the data they were made from, against data that nobody used."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

__all__ = ["Nearness", "nearest", "nearness"]

_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """Of the synthetic samples, [0, 1]: the `share` whose nearest real sample is one of the training data, rather than
    one of as many unseen ones; half is what chance gives.

    `training`, `unseen`: the median distance to the nearest of either, in the values that networks see, per value (root
    mean square). `p`: how likely chance alone gives a share so large (one-sided binomial test).
    """

    share: float
    training: float
    unseen: float
    p: float
    compared: int


def nearness(synthetic: np.ndarray, training: np.ndarray, unseen: np.ndarray) -> Nearness:
    """Of samples [n, ...], and as many of the training data as of the unseen, [m, ...] each. Ties count as unseen."""
    own, other = nearest(synthetic, training), nearest(synthetic, unseen)
    closer = int((own < other).sum())
    return Nearness(
        share=closer / len(own),
        training=float(np.median(own)),
        unseen=float(np.median(other)),
        p=float(binomtest(closer, len(own), 0.5, alternative="greater").pvalue),
        compared=len(training),
    )


def nearest(samples: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The distance of each of `samples` [n, ...] to the nearest of `others` [m, ...]: root mean square per value,
    float64 [n]."""
    flat, rest = (np.asarray(values, np.float64).reshape(len(values), -1) for values in (samples, others))
    lengths, found = (rest**2).sum(axis=1), np.empty(len(flat))
    for first in range(0, len(flat), _BLOCK):
        block = flat[first : first + _BLOCK]
        squares = (block**2).sum(axis=1)[:, None] - 2 * block @ rest.T + lengths
        found[first : first + _BLOCK] = squares.min(axis=1)
    return np.sqrt(np.maximum(found, 0.0) / flat.shape[1])
