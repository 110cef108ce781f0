"""Centres of clusters, or herded samples, of all data in one place: upper bars for what sites could find together.

Nothing travels, as with `central-dm`. In input space k-means is the bar that few distillations of tables pass.
"""

import time
from collections.abc import Mapping

import torch
from pydantic import JsonValue
from torch import Tensor

from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.distilled.set import DistilledSet
from collabdm.engine.memory import begin_stage, highest
from collabdm.local.centres import AGGLOMERATIVE, HERDING, KMEANS, Centres
from collabdm.local.coresets import class_points
from collabdm.planning import augmentation_for
from collabdm.progress import Event
from collabdm.randomness import Stream

__all__ = ["CENTRAL_AGGLOMERATIVE", "CENTRAL_HERDING", "CENTRAL_KMEANS", "points_set"]


def points_set(job: RivalJob, points: Mapping[int, Tensor], facts: Mapping[str, JsonValue]) -> DistilledSet:
    """A set of the points [n, *shape] of every class."""
    return DistilledSet(
        samples=torch.cat(list(points.values())).float(),
        labels=torch.tensor([y for y, of_class in points.items() for _ in of_class]),
        classes=job.train.classes,
        sample=job.sample,
        augment=augmentation_for(job.config, job.preset),
        method=job.config.method,
        facts={"ipc": job.config.ipc, **facts},
    )


def _run(job: RivalJob, centres: Centres, method: str) -> RivalResult:
    """`ipc` points of every class, or as many as the class has samples."""
    started, points = time.perf_counter(), dict[int, Tensor]()
    begin_stage()
    held = {y: rows for y in range(len(job.train.classes)) if len(rows := job.train.of_class(y))}
    for number, (y, rows) in enumerate(held.items()):
        count, stream = min(job.config.ipc, len(rows)), Stream(job.config.seed, "central", y)
        points[y], told = class_points(job.train, rows, count, centres, job.sample, stream)
        job.report(Event(stage="server", done=number + 1, total=len(held), message=told))
    return RivalResult(
        product=points_set(job, points, {"init": "real", "local": {"method": method}}),
        bytes_down={},
        bytes_up={},
        rounds=0,
        client_seconds={},
        server_seconds=time.perf_counter() - started,
        memory={"server": highest()},
    )


def _rival(method: str, centres: Centres) -> Rival:
    """Named after the local method that does the same at a site."""
    return Rival(name=f"central-{method}", product="set", run=lambda job: _run(job, centres, method))


CENTRAL_KMEANS = _rival("kmeans", KMEANS)
CENTRAL_AGGLOMERATIVE = _rival("agglomerative", AGGLOMERATIVE)
CENTRAL_HERDING = _rival("herding", HERDING)
