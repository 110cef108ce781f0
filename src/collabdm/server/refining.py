"""Steps on the synthetic set, and whether they helped."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.config import ServerSpec
from collabdm.engine import Engine
from collabdm.engine.placing import uploaded
from collabdm.errors import ConfigError, explain
from collabdm.matching.embedding import Embedder, embedder_for
from collabdm.matching.step import ClassTarget, Descent, Encoding, SyntheticState, Targets, matching_loss, matching_step
from collabdm.matching.target import Target
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.teacher import Guide, check_rule, teacher_of

__all__ = ["Refinement", "check_finite", "initial_state", "refine", "tell_worse"]

COMPARED = 10
"""The seeds at which a refined set is held against its start: a hundredth of the work of five passes over 200."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Refinement:
    """The state after `steps` of `total` server steps; `loss` of the last, the sum over its classes."""

    steps: int
    total: int
    state: SyntheticState
    loss: float


def initial_state(samples: Tensor, labels: Tensor, engine: Engine) -> SyntheticState:
    """The optimiser's state before the first step."""
    placed = samples.to(engine.device, engine.sample_dtype)
    return SyntheticState(samples=placed, labels=labels.cpu(), momentum=torch.zeros_like(placed))


def refine(
    plan: Plan, target: Target, state: SyntheticState, spec: ServerSpec, *, engine: Engine, done: int = 0
) -> Iterator[Refinement]:
    """Algorithm 1, lines 8-14, one state per step; `state` is the one after `done` steps (0: the initial set).

    The first pass takes the seeds in order, every further one in a fresh order. A class that no participant covers at a
    seed is left out of its step. Raises `ConfigError` for steps class by class on a statistic that pools classes.
    """
    check_rule(plan, spec)
    spec = spec.fitted(plan)
    if plan.statistic.pooled and spec.step == "per-class":
        got, fix = f"per-class with the statistic {plan.statistics}, which pools classes", "set server.step to joint"
        raise ConfigError(explain("server.step", got=got, expected="joint", fix=fix))
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    total = spec.passes * plan.seeds if plan.statistic.terms else 0
    guide = _guide(plan, target, spec, engine)
    for step in range(done, total):
        t = _seed_at(plan, step)
        targets = _targets(plan, target, t, engine)
        state, losses = matching_step(
            state,
            targets,
            _encoding(plan, embedder, t),
            _descent(spec, step, total),
            _synthetic_batch(plan, spec, state.labels, step, targets.classes),
            guide and partial(guide, labels=state.labels, step=step),
        )
        if spec.bounded:
            state = replace(state, samples=plan.sample.bounded(state.samples))
        yield Refinement(steps=step + 1, total=total, state=state, loss=sum(losses.values()))


def tell_worse(
    plan: Plan,
    target: Target,
    start: SyntheticState,
    end: SyntheticState,
    spec: ServerSpec,
    *,
    engine: Engine,
    report: Report = silent,
) -> dict[str, float] | None:
    """The mean loss of the set before and after its refinement, both at the same `seeds`; that it rose is told.

    The losses of the steps do not say: each is of another seed, and one seed's may be many times another's.
    None where nothing was refined.
    """
    seeds = range(0, plan.seeds, math.ceil(plan.seeds / COMPARED)) if plan.seeds else ()
    spec = spec.fitted(plan)
    if not spec.passes or not plan.statistic.terms or not seeds:
        if plan.features is not None and spec.passes:
            told = "the plan asks for no means, so the set stays the one it began with; what this round gives is its"
            fix = "set plan.statistics=mean,gram for a set that is refined"
            report(Event(stage="distill", done=1, total=1, message=f"{told} teacher: {fix}"))
        return None
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    before = after = 0.0
    for t in seeds:
        targets, encoding = _targets(plan, target, t, engine), _encoding(plan, embedder, t)
        before += matching_loss(start, targets, encoding) / len(seeds)
        after += matching_loss(end, targets, encoding) / len(seeds)
    if after > before:
        told = f"refinement made the set worse by its own loss, {before:.3g} before and {after:.3g} after"
        fix = f"set server.lr below {spec.lr:g}, or server.passes to 0 to keep the set it began with"
        report(Event(stage="distill", done=1, total=1, message=f"{told} (at {len(seeds)} seeds): {fix}"))
    return {"before": before, "after": after, "seeds": len(seeds)}


def check_finite(value: float, spec: ServerSpec) -> None:
    """Raise `ConfigError` where a loss or a sample is no finite number."""
    if not math.isfinite(value):
        got, fix = f"samples that diverged at server.lr = {spec.lr:g}", "choose a smaller server.lr"
        raise ConfigError(explain("distillation", got=got, expected="finite values", fix=fix))


def _guide(plan: Plan, target: Target, spec: ServerSpec, engine: Engine) -> Guide | None:
    if target.equations is None or not spec.teacher:
        return None
    return Guide(plan, teacher_of(plan, target.equations, engine), spec)


def _encoding(plan: Plan, embedder: Embedder, t: int) -> Encoding:
    parameters = embedder.encoder(plan.encoder_seed(t))
    return Encoding(embedder=embedder, parameters=parameters, sample=plan.sample, tiles=plan.tiles)


def _targets(plan: Plan, target: Target, t: int, engine: Engine) -> Targets:
    """The covered classes at seed t, on the engine's device."""
    placed = [
        uploaded(torch.from_numpy(value), torch.device(engine.device), engine.sample_dtype)
        for value in target.values[t]
    ]
    pooled = plan.statistic.pooled
    covered = target.drawn[t] if pooled else target.weights[t]
    classes = {
        y: ClassTarget(
            value=placed[0 if pooled else y], drawn=int(target.drawn[t, y]), augmentation=plan.augmentation(t, y)
        )
        for y in np.flatnonzero(covered).tolist()
    }
    return Targets(statistic=plan.statistic, classes=classes)


def _seed_at(plan: Plan, step: int) -> int:
    turn, position = divmod(step, plan.seeds)
    if turn == 0:
        return position
    return int(Stream(plan.seed, "pass", turn).permutation(plan.seeds)[position])


def _descent(spec: ServerSpec, step: int, total: int) -> Descent:
    # By the full rate, so that what is bounded falls with the schedule like all else.
    longest = spec.reach / spec.lr
    return Descent(lr=_rate(spec, step, total), momentum=spec.momentum, step=spec.step, longest=longest)


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
