"""What a synthetic set is matched to: the participants' statistics, combined."""

from dataclasses import dataclass

import numpy as np

from collabdm.matching.aggregation import FEWEST
from collabdm.matching.equations import NormalEquations

__all__ = ["Target"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What the synthetic set is matched to.

    `values`: float64 [T, groups, rows, d], the global statistic, a group for each class or one for all where the
    statistic pools them; `weights`: float64 [T, groups], 0 where no participant holds the class; `drawn`: int64
    [T, classes], real samples behind each value; `holders`: int64 [T, groups], participants behind it. All before
    anything is trimmed. `equations`: the normal equations of all data in the plan's features, where it has the
    Gram matrix.
    """

    values: np.ndarray
    weights: np.ndarray
    drawn: np.ndarray
    holders: np.ndarray
    equations: NormalEquations | None = None

    @property
    def skipped(self) -> int:
        """The number of (t, y) that no participant covers."""
        return int((self.weights == 0).sum())

    @property
    def unprotected(self) -> np.ndarray:
        """Per class the number of covered seeds with too few holders for any rule: int64 [classes]."""
        return ((self.holders > 0) & (self.holders < FEWEST)).sum(axis=0)
