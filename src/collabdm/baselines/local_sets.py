"""Naive virtual learning: every client distils its own data, and the server joins the sets (paper, section 5.1).

FedD3, DOSFL and FedDM's first round differ in the distillation alone, so each is a local method of a round without
statistics: its plan, its contributions and the union are those of `local-dm`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.client import contribute, fingerprint
from collabdm.config.rivals import RivalsSpec
from collabdm.engine import EAGER
from collabdm.initial_set import InitialSet, initial_set
from collabdm.matching.embedding import embedder_for
from collabdm.planning import make_plan
from collabdm.protocol import LocalSpec, Plan, decode_contribution, encode_contribution, encode_plan
from collabdm.rounds.distilling import distilled_set
from collabdm.storage.kept_results import KeptResults

__all__ = ["VIRTUAL", "Union", "plan_of", "union_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Union:
    """The clients' local sets joined, with what it cost, by client; `memory`: the most over the clients, in MB."""

    plan: Plan
    initial: InitialSet
    bytes_down: Mapping[str, int]
    bytes_up: Mapping[str, int]
    seconds: Mapping[str, float]
    memory: float
    server_seconds: float


def plan_of(job: RivalJob, local: LocalSpec) -> Plan:
    """The plan of a round in which clients send nothing but their local sets."""
    train, config = job.train, job.config.model_copy(update={"local": local})
    return make_plan(config, classes=train.classes, shape=train.shape, preset=job.preset, clients=list(job.parts))


def union_of(job: RivalJob, plan: Plan) -> Union:
    """Every client's contribution, through its encoding, and their union (cut or topped up to ipc a class)."""
    features = embedder_for(plan.network, plan.sample.shape, EAGER).features
    own, received, up, seconds, memory = fingerprint(plan), [], {}, {}, 0.0
    for client in plan.clients:
        kept = KeptResults(job.kept)
        samples = job.train.take(job.parts[client])
        sent = contribute(plan, client, samples, engine=job.engine, kept=kept, report=job.report)
        content = encode_contribution(sent, plan)
        received.append(decode_contribution(content, plan, features=features, fingerprint=own))
        up[client], seconds[client] = len(content), sum(kept.seconds.values())
        memory = max([memory, *kept.memory.values()])
    started = time.perf_counter()
    initial = initial_set(plan, received)
    return Union(
        plan=plan,
        initial=initial,
        bytes_down=dict.fromkeys(plan.clients, len(encode_plan(plan))),
        bytes_up=up,
        seconds=seconds,
        memory=memory,
        server_seconds=time.perf_counter() - started,
    )


def _run(job: RivalJob, local: LocalSpec) -> RivalResult:
    union = union_of(job, plan_of(job, local))
    plan, joined = union.plan, union.initial
    topped_up = {plan.classes[y]: count for y, count in joined.topped_up.items()}
    return RivalResult(
        product=distilled_set(plan, joined.images, joined.labels, job.config, {"topped_up": topped_up}),
        bytes_down=union.bytes_down,
        bytes_up=union.bytes_up,
        rounds=1,
        client_seconds=union.seconds,
        server_seconds=union.server_seconds,
        memory={"client": union.memory},
        facts={"local": local.model_dump(mode="json", exclude_none=True), "topped_up": topped_up},
    )


def _rival(name: str, local: Callable[[RivalsSpec], LocalSpec]) -> Rival:
    return Rival(name=name, product="set", run=lambda job: _run(job, local(job.config.rivals)))


VIRTUAL = (
    _rival("fedd3", lambda spec: LocalSpec(method="kip", kip=spec.fedd3)),
    _rival("fedd3-gmm", lambda spec: LocalSpec(method="gmm")),
    _rival("fedd3-dbscan", lambda spec: LocalSpec(method="dbscan")),
    _rival("dosfl", lambda spec: LocalSpec(method="bptt", bptt=spec.dosfl)),
    _rival("feddm", lambda spec: LocalSpec(method="feddm", feddm=spec.feddm)),
)
