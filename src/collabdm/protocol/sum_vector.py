"""All that a site sums, as one vector: where each part lies, and the integers in which it travels.

Everything in it is a sum over samples, so vectors of sites add up to that of all data, modulo 2^24 as much as without:
the server needs no more than the sum.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from collabdm.checking import Checker
from collabdm.protocol.acceptance import SUM_BYTES, Acceptance
from collabdm.protocol.plan import Plan

__all__ = ["BITS", "SumLayout", "added_sums", "packed_sums", "sum_layout", "unpacked_sums", "whole_sums"]

BITS = 8 * SUM_BYTES


@dataclass(frozen=True, kw_only=True)
class SumLayout:
    """Parts in this order: `counts` [classes], `means` [seeds, classes, d], `features` [classes, D], `gram`
    [D (D + 1) / 2], the rows of the upper triangle, whose numbers off the diagonal count sqrt(2) times, so that the
    length of the part is the Frobenius norm of the matrix.

    `weights`: what every number of a part is multiplied by, so that one sample's vector is no longer than one where
    each of its parts is no longer than one (under every seed).
    """

    classes: int
    seeds: int
    width: int
    features: int
    weights: dict[str, float]
    step: float

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each part is."""
        d = self.features
        sizes = {
            "counts": self.classes,
            "means": self.seeds * self.classes * self.width,
            "features": self.classes * d,
            "gram": d * (d + 1) // 2,
        }
        ends = np.cumsum([0, *sizes.values()]).tolist()
        return {name: slice(first, end) for name, first, end in zip(sizes, ends, ends[1:], strict=False)}

    @property
    def size(self) -> int:
        """Numbers in all."""
        return self.slices["gram"].stop


def sum_layout(plan: Plan, expected: Acceptance) -> SumLayout:
    """The layout for a plan with a promise."""
    assert plan.privacy is not None
    shares, seeds = plan.privacy.shares, plan.seeds if plan.statistic.terms else 0
    return SumLayout(
        classes=len(plan.classes),
        seeds=seeds,
        width=expected.features,
        features=expected.gram_features,
        weights={
            "counts": shares.counts**0.5,
            "means": (shares.means / max(seeds, 1)) ** 0.5,
            "features": shares.features**0.5,
            "gram": shares.gram**0.5,
        },
        # No number of a sample's vector is above one, nor any sum's above the number of samples.
        step=2.0 * plan.privacy.samples / 2 ** (BITS - 1),
    )


def whole_sums(vector: np.ndarray, layout: SumLayout) -> np.ndarray:
    """Sums, float64 [n], as integers modulo 2^24: int64 [n] in [0, 2^24), the negative ones in two's complement."""
    return np.rint(vector / layout.step).astype(np.int64) % 2**BITS


def packed_sums(whole: np.ndarray) -> np.ndarray:
    """What `whole_sums` gave as three bytes each, the lowest first: uint8 [n, 3]."""
    return np.stack([(whole >> (8 * place)).astype(np.uint8) for place in range(SUM_BYTES)], axis=1)


def unpacked_sums(found: np.ndarray, layout: SumLayout, check: Checker) -> np.ndarray:
    """The integers again, int64 [n] in [0, 2^24); any bytes are some."""
    check.form(found, "sums", (layout.size, SUM_BYTES), np.dtype(np.uint8))
    whole = np.zeros(len(found), np.int64)
    for place in range(SUM_BYTES):
        whole |= found[:, place].astype(np.int64) << (8 * place)
    return whole


def added_sums(parts: list[np.ndarray], layout: SumLayout) -> np.ndarray:
    """The sum of all, float64 [n], of what `whole_sums` gave."""
    total = np.zeros(layout.size, np.int64)
    for part in parts:
        total = (total + part) % 2**BITS
    signed = np.where(total >= 2 ** (BITS - 1), total - 2**BITS, total)
    return signed * layout.step
