"""What the server does between the contributions and the distilled set: aggregate, initialise, refine."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from collabdm.engine import Engine
from collabdm.images.pixels import uploaded
from collabdm.matching.aggregation import FEWEST, PLAIN, AggregationName, Rule, combined
from collabdm.matching.embedding import embedder_for
from collabdm.matching.statistic import STATISTICS
from collabdm.matching.step import ClassTarget, StepKind, SyntheticState, matching_step
from collabdm.protocol import Contribution, Plan
from collabdm.randomness import Stream

__all__ = ["Refinement", "ServerSpec", "Target", "aggregate", "distill", "initial_state", "refine"]


class ServerSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of the server's own work; clients need not know them.

    `passes` over the T targets (Algorithm 1 is one pass); `batch`: synthetic images of a class per step (S_t^y), all by
    default; `weighting`: `count`, by the samples held (the global mean), or `uniform`, all participants alike (the
    authors' code); `aggregation`, `trim` and `clip`: the rule against hostile participants (docs/trust.md), none by
    default; `evaluate_every`: seeds between evaluations on the way, 0 for none.
    """

    passes: Annotated[int, Field(ge=0, le=10_000)] = 5
    lr: Annotated[float, Field(gt=0)] = 20.0
    schedule: Literal["constant", "cosine"] = "cosine"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    step: StepKind = "joint"
    batch: Annotated[int, Field(ge=1)] | None = None
    weighting: Literal["count", "uniform"] = "count"
    aggregation: AggregationName = "mean"
    trim: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    clip: Annotated[float, Field(ge=1)] | None = None
    evaluate_every: Annotated[int, Field(ge=0)] = 0

    @property
    def rule(self) -> Rule:
        """How the participants' statistics become one."""
        return Rule(aggregation=self.aggregation, trim=self.trim, clip=self.clip)


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What the synthetic set is matched to.

    `values`: float64 [T, classes, parts, d], the global statistic; `weights`: float64 [T, classes], 0 where no
    participant holds the class; `drawn`: int64 [T, classes], real samples behind each value; `holders`: int64
    [T, classes], participants behind it. All before anything is trimmed.
    """

    values: np.ndarray
    weights: np.ndarray
    drawn: np.ndarray
    holders: np.ndarray

    @property
    def skipped(self) -> int:
        """The number of (t, y) that no participant covers."""
        return int((self.weights == 0).sum())

    @property
    def unprotected(self) -> np.ndarray:
        """Per class the number of covered seeds with too few holders for any rule: int64 [classes]."""
        return ((self.holders > 0) & (self.holders < FEWEST)).sum(axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Refinement:
    """The state after `steps` of `total` server steps; `loss` of the last, the sum over its classes."""

    steps: int
    total: int
    state: SyntheticState
    loss: float


def aggregate(
    plan: Plan,
    contributions: Iterable[Contribution],
    weighting: Literal["count", "uniform"],
    rule: Rule = PLAIN,
) -> Target:
    """The participants' statistics at every (t, y) made one by `rule`: by default the weighted mean
    sum_k w_k m_k / sum_k w_k, w_k = held_k (at most `plan.most_held`) or 1.

    Sums run in float64 over clients in sorted order, whatever the order given, so that the result does not depend on
    it. Rules see statistics in their additive form: there the mean over clients is that over all samples, so a rule
    that drops nothing is the plain mean, while a mean of variances would lose the spread between clients. Beyond the
    contributions and the result, memory holds the participants' values at one (t, y).
    """
    statistic = STATISTICS[plan.statistics]
    features = embedder_for(plan.network, plan.sample.shape, Engine()).features
    shape = (plan.seeds, len(plan.classes))
    values = np.zeros((*shape, len(statistic.parts), features))
    weights, drawn, holders = np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    senders = [_Sender(plan, contribution, weighting) for contribution in sorted(contributions, key=lambda c: c.client)]
    for t in range(plan.seeds):
        present = [sender for sender in senders if t in sender.rows]
        for y in range(len(plan.classes)):
            participants = [sender for sender in present if y in sender.columns]
            if not participants:
                continue
            sent = np.stack([sender.statistic(t, y) for sender in participants])
            weighed = np.array([sender.weight[y] for sender in participants])
            additive = statistic.additive(torch.from_numpy(sent).double())
            values[t, y] = statistic.central(combined(additive, torch.from_numpy(weighed), rule)).numpy()
            weights[t, y] = weighed.sum()
            drawn[t, y] = sum(sender.drawn[y] for sender in participants)
            holders[t, y] = len(participants)
    return Target(values=values, weights=weights, drawn=drawn, holders=holders)


def distill(
    plan: Plan, target: Target, images: Tensor, labels: Tensor, spec: ServerSpec, *, engine: Engine
) -> tuple[Tensor, list[float]]:
    """Refine initial images [n, C, H, W] with labels [n] to the end; returns the images and the loss per step."""
    start = initial_state(images, labels, engine)
    last, losses = start, []
    for refinement in refine(plan, target, start, spec, engine=engine):
        last = refinement.state
        losses.append(refinement.loss)
    return last.images, losses


def initial_state(images: Tensor, labels: Tensor, engine: Engine) -> SyntheticState:
    """The optimiser's state before the first step."""
    placed = images.to(engine.device, engine.image_dtype)
    return SyntheticState(images=placed, labels=labels.cpu(), momentum=torch.zeros_like(placed))


def refine(
    plan: Plan, target: Target, state: SyntheticState, spec: ServerSpec, *, engine: Engine, done: int = 0
) -> Iterator[Refinement]:
    """Algorithm 1, lines 8-14, one state per step; `state` is the one after `done` steps (0: the initial set).

    The first pass takes the seeds in order, every further one in a fresh order. A class that no participant covers at a
    seed is left out of its step.
    """
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    statistic = STATISTICS[plan.statistics]
    total = spec.passes * plan.seeds if statistic.parts else 0
    for step in range(done, total):
        t = _seed_at(plan, step)
        targets = {
            y: ClassTarget(
                value=uploaded(torch.from_numpy(target.values[t, y]), torch.device(engine.device), engine.image_dtype),
                drawn=int(target.drawn[t, y]),
                augmentation=plan.augmentation(t, y),
            )
            for y in np.flatnonzero(target.weights[t]).tolist()
        }
        state, losses = matching_step(
            state,
            targets,
            embedder=embedder,
            encoder=embedder.encoder(plan.encoder_seed(t)),
            statistic=statistic,
            factor=plan.pae,
            lr=_rate(spec, step, total),
            momentum=spec.momentum,
            step=spec.step,
            chosen=_synthetic_batch(plan, spec, state.labels, step, targets),
        )
        yield Refinement(steps=step + 1, total=total, state=state, loss=sum(losses.values()))


class _Sender:
    """One contribution, found by (t, y)."""

    def __init__(self, plan: Plan, contribution: Contribution, weighting: Literal["count", "uniform"]) -> None:
        held = contribution.held
        capped = held if plan.most_held is None else np.minimum(held, plan.most_held)
        self.rows = {t: row for row, t in enumerate(plan.assigned(contribution.client))}
        self.columns = {int(y): column for column, y in enumerate(contribution.classes_held)}
        self.weight = capped.astype(np.float64) if weighting == "count" else np.ones(len(held))
        self.drawn = np.minimum(held, plan.batch)
        self._means = contribution.means

    def statistic(self, t: int, y: int) -> np.ndarray:
        """[parts, d], as sent."""
        return self._means[self.rows[t], self.columns[y]]


def _seed_at(plan: Plan, step: int) -> int:
    turn, position = divmod(step, plan.seeds)
    if turn == 0:
        return position
    return int(Stream(plan.seed, "pass", turn).permutation(plan.seeds)[position])


def _rate(spec: ServerSpec, step: int, total: int) -> float:
    if spec.schedule == "constant":
        return spec.lr
    return spec.lr * 0.5 * (1 + math.cos(math.pi * step / total))


def _synthetic_batch(
    plan: Plan, spec: ServerSpec, labels: Tensor, step: int, targets: Mapping[int, ClassTarget]
) -> dict[int, Tensor] | None:
    if spec.batch is None:
        return None
    chosen = {}
    for y in targets:
        rows = (labels == y).nonzero().flatten()
        drawn = Stream(plan.seed, "synthetic-batch", step, y).choose(len(rows), spec.batch)
        chosen[y] = rows[torch.from_numpy(np.sort(drawn))]
    return chosen
