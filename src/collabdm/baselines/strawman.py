"""The strawman of section 4.1: collaborative distillation over many rounds, every byte of which is counted.

CollabDM's argument is this cost: only distribution matching needs no trained network, and so no broadcast. Both forms
start where CollabDM's server starts, from the union of the clients' local sets (or from noise).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collabdm.baselines.base import CurvePoint, Rival, RivalJob, RivalResult
from collabdm.baselines.local_sets import plan_of, union_of
from collabdm.baselines.strawman_rounds import Cost, Federation, State, matched_round, meta_round
from collabdm.config.rivals import RivalsSpec, StrawmanSpec
from collabdm.engine.memory import begin_stage
from collabdm.engine.workers import torch_threads
from collabdm.local.shown import real_set
from collabdm.privacy import enough_held
from collabdm.progress import Event
from collabdm.protocol import LocalSpec, Plan
from collabdm.server import product
from collabdm.storage.checkpoints import named, within
from collabdm.storage.kept_results import KeptResults, result_key
from collabdm.training.differentiable import Differentiable

__all__ = ["STRAWMAN_GRADIENT", "STRAWMAN_META"]

Round = Callable[[Federation, State, Tensor, int], tuple[State, Cost]]
NOISE = LocalSpec(method="dm", iterations=0, reuse=False, init="noise")


def _run(job: RivalJob, spec: StrawmanSpec, one_round: Round) -> RivalResult:
    plan = plan_of(job, job.config.local if spec.init == "local" else NOISE)
    union = union_of(job, plan)
    federation = _federation(job, spec, plan)
    # Noise the server can draw itself.
    up = union.bytes_up if spec.init == "local" else dict.fromkeys(plan.clients, 0)
    down, up, seconds = (np.array([of[c] for c in plan.clients]) for of in (union.bytes_down, up, union.seconds))
    cost = Cost(down=down.astype(float), up=up.astype(float), seconds=seconds)
    labels = union.initial.labels.to(job.engine.device)
    samples = union.initial.samples.to(job.engine.device, job.engine.sample_dtype)
    nothing = torch.zeros_like(samples)
    state: State = {
        "samples": samples,
        "momentum": nothing,
        "first": nothing,
        "second": nothing,
        "norm": torch.zeros(1),
    }
    basis = {
        "data": {client: job.train.take(rows).digest() for client, rows in sorted(job.parts.items())},
        "engine": job.engine.model_dump(exclude={"threads", "processes"}),
        "plan": plan.model_dump(mode="json"),
        "rival": one_round.__name__,
        "spec": spec.model_dump(mode="json", exclude={"rounds", "points"}),
    }
    marks = sorted({round(mark) for mark in np.linspace(0, spec.rounds, spec.points + 2).tolist()})
    curve, server, memory = [_point(job, federation, state, labels, cost, 0)], union.server_seconds, 0.0
    with torch_threads(job.engine.threads):
        for first, last in pairwise(marks):
            numbers = range(first, last)
            state, more, kept = _segment(job, federation, state, labels, one_round, numbers, basis)
            cost, server = cost.plus(more), server + max(kept.seconds["rounds"] - float(more.seconds.sum()), 0.0)
            memory = max(memory, kept.memory.get("rounds", 0.0))
            curve.append(_point(job, federation, state, labels, cost, last))
    return RivalResult(
        product=curve[-1].product,
        bytes_down=dict(zip(plan.clients, map(round, cost.down.tolist()), strict=True)),
        bytes_up=dict(zip(plan.clients, map(round, cost.up.tolist()), strict=True)),
        rounds=spec.rounds + (spec.init == "local"),
        client_seconds=dict(zip(plan.clients, cost.seconds.tolist(), strict=True)),
        server_seconds=server,
        curve=tuple(curve[:-1]),
        memory={"client": union.memory} | ({"server": memory} if memory else {}),
    )


def _federation(job: RivalJob, spec: StrawmanSpec, plan: Plan) -> Federation:
    # As in a contribution: gradients on a single sample say as much of it.
    data = {client: enough_held(job.train.take(job.parts[client]), plan.min_held) for client in plan.clients}
    return Federation(
        plan=plan,
        spec=spec,
        net=Differentiable(spec=plan.network, sample=plan.sample, classes=len(plan.classes), engine=job.engine),
        data={client: real_set(plan, samples) for client, samples in data.items()},
        held={client: samples.counts() for client, samples in data.items()},
    )


def _segment(
    job: RivalJob,
    federation: Federation,
    state: State,
    labels: Tensor,
    one_round: Round,
    numbers: range,
    basis: Mapping[str, Any],
) -> tuple[State, Cost, KeptResults]:
    """Some rounds, or what an interrupted run kept of them; what they cost; and what says how long they took."""
    kept = KeptResults(job.kept, report=job.report)
    key = result_key("rounds", dict(basis) | {"rounds": [numbers.start, numbers.stop]})

    def work() -> dict[str, np.ndarray]:
        checkpoint, current, costs = kept.checkpoint(key), state, []
        if found := checkpoint.found():
            # In their own dtypes: a running norm is float64.
            current = {name: value.to(job.engine.device) for name, value in within(found, "state").items()}
            costs = list(found["costs"].numpy())
        for number in numbers[len(costs) :]:
            current, cost = one_round(federation, current, labels, number)
            costs.append([cost.down, cost.up, cost.seconds])
            job.report(Event(stage="rounds", done=number + 1, total=federation.spec.rounds))
            checkpoint.keep(partial(_state, current, costs))
        arrays = {f"state.{name}": value.cpu().numpy() for name, value in current.items()}
        return arrays | {"cost": np.array(costs).sum(axis=0)}

    begin_stage()
    arrays = kept.compute(key, work)
    after = within({name: torch.from_numpy(value) for name, value in sorted(arrays.items())}, "state")
    down, up, seconds = arrays["cost"]
    return _placed(after, job), Cost(down=down, up=up, seconds=seconds), kept


def _state(current: State, costs: Sequence[Sequence[np.ndarray]]) -> dict[str, Tensor]:
    return named("state", current) | {"costs": torch.from_numpy(np.array(costs, np.float64))}


def _placed(state: State, job: RivalJob) -> State:
    return {name: value.to(job.engine.device, job.engine.sample_dtype) for name, value in state.items()}


def _point(job: RivalJob, federation: Federation, state: State, labels: Tensor, cost: Cost, rounds: int) -> CurvePoint:
    facts = {"rounds": rounds, "rival": federation.spec.model_dump(mode="json")}
    config = job.config
    made = product(
        federation.plan, state["samples"].cpu(), labels.cpu(), config.server, method=config.method, facts=facts
    )
    down, up = float(cost.down.mean()), float(cost.up.mean())
    return CurvePoint(rounds=rounds, bytes_down=down, bytes_up=up, product=made)


def _rival(name: str, settings: Callable[[RivalsSpec], StrawmanSpec], one_round: Round) -> Rival:
    return Rival(name=name, product="set", run=lambda job: _run(job, settings(job.config.rivals), one_round))


STRAWMAN_GRADIENT = _rival("strawman-gradient", lambda spec: spec.strawman_gradient, matched_round)
STRAWMAN_META = _rival("strawman-meta", lambda spec: spec.strawman_meta, meta_round)
