"""What the server does between the contributions and the distilled set: aggregate, initialise, refine."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from collabdm.config import Config, ServerSpec
from collabdm.distilled import DistilledSet
from collabdm.engine import EAGER, Engine
from collabdm.engine.placing import uploaded
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, QuorumError, explain
from collabdm.initial_set import InitialSet, initial_set
from collabdm.matching.aggregation import combined
from collabdm.matching.embedding import Embedder, embedder_for
from collabdm.matching.step import ClassTarget, Descent, Encoding, SyntheticState, Targets, matching_loss, matching_step
from collabdm.matching.target import Target
from collabdm.methods import method_of
from collabdm.planning import engine_for
from collabdm.privacy.claims import insecure_facts, mask_facts
from collabdm.privacy.opening import opened
from collabdm.progress import Event, Report, silent
from collabdm.protocol import LOCAL_METHODS, Contribution, Plan, checked_answers, plan_digest
from collabdm.randomness import Stream
from collabdm.screening import screened, told_screened
from collabdm.teacher import Guide, check_rule, pooled_equations, teacher_of

__all__ = [
    "Refinement",
    "Target",
    "aggregate",
    "check_finite",
    "distill",
    "initial_state",
    "product",
    "protected_start",
    "refine",
    "tell_worse",
]

USUAL = ServerSpec()
MOST_COMPARED = 256 * 2**20
"""Bytes of the participants' statistics that a rule looks at in one go, over as many seeds as that is."""
COMPARED = 10
"""The seeds at which a refined set is held against its start: a hundredth of the work of five passes over 200."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Refinement:
    """The state after `steps` of `total` server steps; `loss` of the last, the sum over its classes."""

    steps: int
    total: int
    state: SyntheticState
    loss: float


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
    return _aggregated(plan, checked_answers(plan, contributions), spec)


def _aggregated(plan: Plan, contributions: Sequence[Contribution], spec: ServerSpec) -> Target:
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


@plain_torch()
def distill(
    plan: Plan,
    contributions: Iterable[Contribution],
    spec: ServerSpec = USUAL,
    *,
    engine: Engine | None = None,
    facts: Mapping[str, JsonValue] | None = None,
    report: Report = silent,
) -> DistilledSet:
    """ServerDM of Algorithm 1 after the round: aggregate, start from the union of the local sets, refine to the end.

    `engine`: as suits the plan's work and this machine by default. `facts` go to the set's card. A class that nobody
    holds is missing from the set, which is told.
    Raises `QuorumError` where there are no contributions, `ContributionError` where one does not answer this plan or a
    client has two, `ConfigError` where the samples diverge.
    """
    check_rule(plan, spec)
    spec = spec.fitted(plan)
    received = checked_answers(plan, contributions)
    if not received:
        fix = "collect the sites' contributions first"
        raise QuorumError(explain("contributions", got="none", expected="at least one", fix=fix))
    initial = initial_set(plan, opened(plan, received), spec.draw)
    if initial.missing:
        few = (
            f" (or fewer than plan.min_held = {plan.min_held} samples)"
            if plan.min_held > 1 and not plan.privacy
            else ""
        )
        why = "the promise's noise hides" if plan.privacy else "nobody holds"
        message = f"{why} {', '.join(plan.classes[y] for y in initial.missing)}{few}: missing from the set"
        report(Event(stage="distill", done=0, total=1, message=message))
    engine = engine or engine_for(Config(), plan, report=report)
    target = _aggregated(plan, received, spec)
    initial, _ = protected_start(plan, received, initial, target, spec, engine=engine, report=report)
    state = start = initial_state(initial.samples, initial.labels, engine)
    for refinement in refine(plan, target, start, spec, engine=engine):
        state = refinement.state
        check_finite(refinement.loss, spec)
        report(Event(stage="distill", done=refinement.steps, total=refinement.total, loss=refinement.loss))
    check_finite(float(state.samples.abs().max()), spec)
    tell_worse(plan, target, start, state, spec, engine=engine, report=report)
    return product(plan, state.samples, initial.labels, spec, facts=insecure_facts(plan, received) | dict(facts or {}))


def protected_start(
    plan: Plan,
    contributions: Sequence[Contribution],
    initial: InitialSet,
    target: Target,
    spec: ServerSpec,
    *,
    engine: Engine,
    report: Report = silent,
) -> tuple[InitialSet, Mapping[str, Mapping[str, int]]]:
    """`initial`, or where a rule protects the target, the initial set of the samples that pass `screened`; and how many
    did not, by client and why, which is told."""
    if not spec.rule.protects:
        return initial, {}
    # Samples are held against all others': here every contribution is in memory.
    found = screened(plan, tuple(contributions), target, engine)
    if not found.left_out:
        return initial, {}
    report(Event(stage="aggregate", done=1, total=1, message=told_screened(found.left_out)))
    return initial_set(plan, found.contributions, initial.draw), found.left_out


def product(
    plan: Plan,
    samples: Tensor,
    labels: Tensor,
    spec: ServerSpec,
    *,
    method: str | None = None,
    facts: Mapping[str, JsonValue] | None = None,
) -> DistilledSet:
    """The distilled set of a round, with how it was made; `method` is what the plan amounts to by default."""
    made = {
        "plan": plan_digest(plan),
        "seeds": plan.seeds,
        "clients": len(plan.clients),
        "ipc": plan.ipc,
        # Without local sets the server has nothing to begin with but noise.
        "init": "noise" if LOCAL_METHODS[plan.local.method].empty else plan.local.init,
        "network": plan.network.model_dump(exclude_none=True),
        **_gram_facts(plan),
        **({"privacy": plan.privacy.model_dump(mode="json")} if plan.privacy else {}),
        **mask_facts(plan),
        "local": plan.local.model_dump(),
        # Who knows the draw of a round could place samples in the next one on its folder.
        "server": spec.fitted(plan).model_dump(exclude_none=True, exclude={"draw"}),
    }
    return DistilledSet(
        samples=samples.float(),
        labels=labels,
        classes=plan.classes,
        sample=plan.sample,
        tiles=plan.tiles,
        augment=plan.augment,
        method=method or method_of(refined=plan.statistics != "none", tiles=plan.tiles),
        facts=made | dict(facts or {}),
    )


def _gram_facts(plan: Plan) -> dict[str, JsonValue]:
    """What else was summed for the set, where the plan asks for it."""
    if plan.features is None:
        return {}
    return {
        "statistics": plan.model_dump(mode="json")["statistics"],
        "features": plan.features.model_dump(exclude_none=True),
    }


def check_finite(value: float, spec: ServerSpec) -> None:
    """Raise `ConfigError` where a loss or a sample is no finite number."""
    if not math.isfinite(value):
        got, fix = f"samples that diverged at server.lr = {spec.lr:g}", "choose a smaller server.lr"
        raise ConfigError(explain("distillation", got=got, expected="finite values", fix=fix))


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
