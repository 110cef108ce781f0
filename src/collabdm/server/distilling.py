"""From contributions to the distilled set, in one call."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue
from torch import Tensor

from collabdm.config import Config, ServerSpec
from collabdm.distilled import DistilledSet
from collabdm.engine import Engine
from collabdm.engine.plain import plain_torch
from collabdm.errors import QuorumError, explain
from collabdm.initial_set import InitialSet, initial_set
from collabdm.matching.target import Target
from collabdm.methods import method_of
from collabdm.planning import engine_for
from collabdm.privacy.claims import insecure_facts, mask_facts
from collabdm.privacy.opening import opened
from collabdm.progress import Event, Report, silent
from collabdm.protocol import LOCAL_METHODS, Contribution, Plan, checked_answers, plan_digest
from collabdm.screening import screened, told_screened
from collabdm.server.aggregating import aggregated
from collabdm.server.refining import check_finite, initial_state, refine, tell_worse
from collabdm.teacher import check_rule

__all__ = ["distill", "product", "protected_start"]

USUAL = ServerSpec()


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
    target = aggregated(plan, received, spec)
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
