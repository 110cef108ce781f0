"""The participants' statistics at every seed and class made one."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from collabdm.config import ServerSpec
from collabdm.engine import EAGER
from collabdm.engine.plain import plain_torch
from collabdm.matching.aggregation import combined
from collabdm.matching.embedding import embedder_for
from collabdm.matching.target import Target
from collabdm.privacy.opening import opened
from collabdm.protocol import Contribution, Plan, checked_answers
from collabdm.teacher import check_rule, pooled_equations

__all__ = ["aggregate", "aggregated"]

USUAL = ServerSpec()
MOST_COMPARED = 256 * 2**20
"""Bytes of the participants' statistics that a rule looks at in one go, over as many seeds as that is."""


@plain_torch()
def aggregate(plan: Plan, contributions: Iterable[Contribution], spec: ServerSpec = USUAL) -> Target:
    """The participants' statistics at every (t, y) made one: by default the weighted mean sum_k w_k m_k / sum_k w_k.

    `spec.weighting`: w_k = held_k (at most `plan.most_held`), or 1; `spec.rule` says what protects against a hostile
    participant. Sums run in float64 over clients in sorted order, whatever the order given, so that the result does not
    depend on it. Rules see statistics in their additive form: there the mean over clients is that over all samples, so
    a rule that drops nothing is the plain mean, while a mean of variances would lose the spread between clients. Beyond
    the result, memory holds one contribution at a time of stored ones; a rule holds as much as it compares at once.
    Raises `ContributionError` where one does not answer this plan, or a client has two; `ConfigError` where a rule is
    asked for that cannot protect what the plan asks for.
    """
    check_rule(plan, spec)
    return aggregated(plan, checked_answers(plan, contributions), spec)


def aggregated(plan: Plan, contributions: Sequence[Contribution], spec: ServerSpec) -> Target:
    """The target of contributions that were checked, in sorted order."""
    equations = pooled_equations(plan, contributions) if plan.features else None
    contributions = opened(plan, contributions)
    features = embedder_for(plan.network, plan.sample.shape, EAGER).features
    groups, rows = plan.statistic.groups(len(plan.classes)), plan.statistic.rows(features)
    values = np.zeros((plan.seeds, groups, rows, features))
    weights, drawn = np.zeros((plan.seeds, groups)), np.zeros((plan.seeds, len(plan.classes)), np.int64)
    holders = np.zeros((plan.seeds, groups), np.int64)
    for one in contributions:
        sender = _Sender(plan, one, spec)
        for t in sender.rows:
            # In this order at every (t, y), one after another: what comes out does not depend on how they are read.
            if not spec.rule.protects:
                values[t, sender.groups] += sender.additive(t) * sender.weights[:, None, None]
            weights[t, sender.groups] += sender.weights
            drawn[t] += sender.drawn
            holders[t, sender.groups] += 1
    if spec.rule.protects:
        _protected(plan, contributions, spec, values)
    else:
        covered = weights > 0
        values[covered] = plan.statistic.finish(
            torch.from_numpy(values[covered] / weights[covered][:, None, None])
        ).numpy()
    return Target(values=values, weights=weights, drawn=drawn, holders=holders, equations=equations)


def _protected(plan: Plan, contributions: Sequence[Contribution], spec: ServerSpec, values: np.ndarray) -> None:
    """Fill `values` by a rule, which looks at all participants of a (t, y) at once: for so many seeds at a time that no
    more than `MOST_COMPARED` is held, and for one at least."""
    size = plan.participants_per_seed * values[0].size * np.dtype(np.float32).itemsize
    step = max(MOST_COMPARED // max(size, 1), 1)
    for first in range(0, plan.seeds, step):
        sent: dict[tuple[int, int], list[tuple[np.ndarray, float]]] = {}
        for one in contributions:
            sender = _Sender(plan, one, spec)
            for t in sender.rows:
                if first <= t < first + step:
                    for group, own, weight in zip(sender.groups, sender.sent(t), sender.weights, strict=True):
                        sent.setdefault((t, int(group)), []).append((own.copy(), weight))
        for place, parts in sent.items():
            additive = plan.statistic.additive(torch.from_numpy(np.stack([own for own, _ in parts])).double())
            weights = torch.tensor([weight for _, weight in parts], dtype=torch.float64)
            values[place] = plan.statistic.finish(combined(additive, weights, spec.rule)).numpy()


class _Sender:
    """One contribution: what it says at a seed of every group that it has (a class, or all classes where the statistic
    pools them)."""

    def __init__(self, plan: Plan, contribution: Contribution, spec: ServerSpec) -> None:
        """`groups` and the `weights` of each; `rows` by seed; `drawn` by class."""
        held = contribution.held
        capped = held if plan.most_held is None else np.minimum(held, plan.most_held)
        weight = capped.astype(np.float64) if spec.weighting == "count" else np.ones(len(held))
        pooled = plan.statistic.pooled
        self.rows = {t: row for row, t in enumerate(plan.assigned(contribution.client))}
        self.groups = np.zeros(1, np.int64) if pooled else contribution.classes_held
        self.weights = _all_held(weight, held, spec) if pooled else weight[self.groups]
        self.drawn = np.minimum(held, plan.batch)
        self._statistic, self._sent = plan.statistic, contribution.statistics

    def sent(self, t: int) -> np.ndarray:
        """As sent: float32 [groups, rows, d]."""
        return self._sent[self.rows[t]]

    def additive(self, t: int) -> np.ndarray:
        """In the form that adds up over clients: float64 [groups, rows, d]."""
        return self._statistic.additive(torch.from_numpy(self.sent(t)).double()).numpy()


def _all_held(weight: np.ndarray, held: np.ndarray, spec: ServerSpec) -> np.ndarray:
    """The weight of a statistic over all classes: [1]."""
    return weight[held > 0].sum(keepdims=True) if spec.weighting == "count" else np.ones(1)
