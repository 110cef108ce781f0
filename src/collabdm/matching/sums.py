"""Sums over one holder's samples: all that a contribution says of the data, but for the local set."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.matching.gram import FeatureSums
from collabdm.matching.statistic import Statistic, Term, term_rows

__all__ = ["Sums"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """What was summed for every assigned seed and every class held, over the samples that were drawn of it.

    `values`: float64 [seeds, classes, rows, d], the rows of `terms` one after another; `seeds` and `classes` ascending;
    `drawn`: how many samples of each class the sums run over (at every seed another draw of as many). `gram`: the
    second-order sums over all samples, where the plan asks for them.
    """

    terms: tuple[Term, ...]
    seeds: tuple[int, ...]
    drawn: Mapping[int, int]
    values: np.ndarray
    gram: FeatureSums | None = None

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes held, ascending."""
        return tuple(sorted(self.drawn))

    def finished(self, statistic: Statistic) -> np.ndarray:
        """The statistic as it travels: float32 [seeds, groups, rows, d]. Its terms must be among those summed.

        There is a group for each class, or a single one where the statistic pools them.
        """
        features = self.values.shape[-1]
        groups = statistic.groups(len(self.drawn))
        finished = np.empty((len(self.values), groups, statistic.rows(features), features), np.float32)
        if not finished.size:
            return finished
        rows, counts = self._rows(statistic, features), self._counts(statistic)
        # Seed by seed: the sums of all seeds may be most of the memory there is.
        for seed, sums in enumerate(self.values):
            taken = sums[:, rows].sum(axis=0, keepdims=True) if statistic.pooled else sums[:, rows]
            finished[seed] = statistic.finish(torch.from_numpy(taken) / counts).numpy()
        return finished

    def _rows(self, statistic: Statistic, features: int) -> np.ndarray:
        """Where in `values` the statistic's rows are."""
        sizes = [term_rows([term], features) for term in self.terms]
        first = dict(zip(self.terms, np.cumsum([0, *sizes]).tolist(), strict=False))
        return np.concatenate(
            [np.arange(first[term], first[term] + term_rows([term], features)) for term in statistic.terms]
        )

    def _counts(self, statistic: Statistic) -> Tensor:
        counts = torch.tensor([self.drawn[y] for y in self.classes], dtype=torch.float64)
        return (counts.sum().view(1) if statistic.pooled else counts).view(-1, 1, 1)
