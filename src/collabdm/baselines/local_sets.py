"""Naive virtual learning: every client distils its own data, and the server joins the sets (paper, section 5.1).

FedD3, DOSFL and FedDM's first round differ in the distillation alone, so each is a local method of a round without
statistics: its plan, its contributions and the union are those of `local-dm`. So are centres of clusters of every site,
and the samples that herding chooses, united.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from collabdm.baselines.answers import answers_of
from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.config.rivals import RivalsSpec
from collabdm.initial_set import InitialSet, initial_set
from collabdm.planning import make_plan
from collabdm.protocol import LocalSpec, Plan
from collabdm.server import product

__all__ = [
    "DOSFL",
    "FEDD3",
    "FEDD3_DBSCAN",
    "FEDD3_GMM",
    "FEDDM",
    "FED_AGGLOMERATIVE",
    "FED_HERDING",
    "FED_KMEANS",
    "Union",
    "plan_of",
    "union_of",
]


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
    """The plan of a round in which clients send nothing but their local sets. Raises what `make_plan` raises."""
    config = job.config.model_copy(update={"local": local})
    return make_plan(config, clients=job.parts, preset=job.preset)


def union_of(job: RivalJob, plan: Plan) -> Union:
    """Every client's contribution, through its encoding, and their union (cut or topped up to ipc a class)."""
    answers = answers_of(job, plan)
    started = time.perf_counter()
    initial = initial_set(plan, answers.contributions, job.config.server.draw)
    return Union(
        plan=plan,
        initial=initial,
        bytes_down=answers.bytes_down,
        bytes_up=answers.bytes_up,
        seconds=answers.seconds,
        memory=answers.memory,
        server_seconds=time.perf_counter() - started,
    )


def _run(job: RivalJob, local: LocalSpec) -> RivalResult:
    union = union_of(job, plan_of(job, local))
    plan, joined = union.plan, union.initial
    topped_up: dict[str, JsonValue] = {plan.classes[y]: count for y, count in joined.topped_up.items()}
    return RivalResult(
        product=product(
            plan,
            joined.samples,
            joined.labels,
            job.config.server,
            method=job.config.method,
            facts={"topped_up": topped_up},
        ),
        bytes_down=union.bytes_down,
        bytes_up=union.bytes_up,
        rounds=1,
        client_seconds=union.seconds,
        server_seconds=union.server_seconds,
        memory={"client": union.memory},
        facts={"local": local.model_dump(mode="json", exclude_none=True), "topped_up": topped_up},
    )


def _local(method: str, settings: BaseModel) -> LocalSpec:
    return LocalSpec.model_validate({"method": method, method: settings})


def _rival(name: str, local: Callable[[RivalsSpec], LocalSpec]) -> Rival:
    return Rival(name=name, product="set", run=lambda job: _run(job, local(job.config.rivals)))


FEDD3 = _rival("fedd3", lambda spec: _local("kip", spec.fedd3))
FEDD3_GMM = _rival("fedd3-gmm", lambda spec: LocalSpec(method="gmm"))
FEDD3_DBSCAN = _rival("fedd3-dbscan", lambda spec: LocalSpec(method="dbscan"))
DOSFL = _rival("dosfl", lambda spec: _local("bptt", spec.dosfl))
FED_KMEANS = _rival("fed-kmeans", lambda spec: LocalSpec(method="kmeans"))
FED_AGGLOMERATIVE = _rival("fed-agglomerative", lambda spec: LocalSpec(method="agglomerative"))
FED_HERDING = _rival("fed-herding", lambda spec: LocalSpec(method="herding"))
FEDDM = _rival("feddm", lambda spec: _local("feddm", spec.feddm))
