"""One-shot federated k-means (k-FED, Dennis et al., ICML 2021), class by class.

Every client sends `ipc` centres of each class it holds, and how many of its samples each stands for; the server
clusters all of them again, each counting by its samples. Unlike `fed-kmeans`, which unites as few centres a client as
other local sets have, it sends as many as the set will have, and uses all.
"""

import time
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor

from collabdm.baselines.base import Rival, RivalJob, RivalResult
from collabdm.baselines.central_sets import points_set
from collabdm.baselines.local_sets import plan_of
from collabdm.data import Samples
from collabdm.engine.memory import begin_stage, highest
from collabdm.local.centres import KMEANS, weighted_kmeans
from collabdm.privacy import enough_held
from collabdm.progress import Event
from collabdm.protocol import LocalSpec, Plan, encode_plan
from collabdm.protocol.encoding import plain_floats
from collabdm.randomness import Stream

__all__ = ["K_FED", "joined", "message"]


def message(plan: Plan, client: str, samples: Samples) -> bytes:
    """What a client sends: `<y>.centres` [m, d], at most ipc, in the plan's encoding, and `<y>.sizes`, int64 [m]."""
    sent: dict[str, np.ndarray] = {}
    for y in np.unique(samples.labels).tolist():
        stream, rows = Stream(plan.seed, "coreset", client, y), samples.of_class(y)
        kept = rows[stream.choose(len(rows), KMEANS.most)]
        real = plan.sample.tensors(samples.values[kept], device="cpu", dtype=torch.float64).flatten(1).numpy()
        centres, sizes = weighted_kmeans(real, np.full(len(real), len(rows) / len(real)), plan.ipc, stream)
        sent[f"{y}.centres"] = np.ascontiguousarray(plain_floats(centres.astype(np.float32), plan.encoding))
        sent[f"{y}.sizes"] = np.rint(sizes).astype(np.int64)
    return save(sent)


def joined(plan: Plan, received: Mapping[str, bytes]) -> dict[int, Tensor]:
    """By class the centres, at most ipc, of what the clients sent: float64 [m, *shape]."""
    opened, points = [load(received[client]) for client in sorted(received)], dict[int, Tensor]()
    for y in range(len(plan.classes)):
        of_class = [one for one in opened if f"{y}.centres" in one]
        if not of_class:
            continue
        centres = np.concatenate([one[f"{y}.centres"].astype(np.float64) for one in of_class])
        sizes = np.concatenate([one[f"{y}.sizes"].astype(np.float64) for one in of_class])
        found, _ = weighted_kmeans(centres, sizes, plan.ipc, Stream(plan.seed, "k-fed", y))
        points[y] = torch.from_numpy(found).view(-1, *plan.sample.shape)
    return points


def _run(job: RivalJob) -> RivalResult:
    plan = plan_of(job, LocalSpec(method="kmeans"))
    received, seconds = dict[str, bytes](), dict[str, float]()
    begin_stage()
    for number, client in enumerate(plan.clients):
        started = time.perf_counter()
        # As in a contribution: the centre of a single sample is that sample.
        received[client] = message(plan, client, enough_held(job.train.take(job.parts[client]), plan.min_held))
        seconds[client] = time.perf_counter() - started
        size = f"{len(received[client]):,} bytes up"
        job.report(Event(stage="local", client=client, done=number + 1, total=len(plan.clients), message=size))
    memory, started = highest(), time.perf_counter()
    product = points_set(
        job, joined(plan, received), {"clients": len(plan.clients), "init": "real", "local": {"method": "kmeans"}}
    )
    return RivalResult(
        product=product,
        bytes_down=dict.fromkeys(plan.clients, len(encode_plan(plan))),
        bytes_up={client: len(content) for client, content in received.items()},
        rounds=1,
        client_seconds=seconds,
        server_seconds=time.perf_counter() - started,
        memory={"client": memory},
    )


K_FED = Rival(name="k-fed", product="set", run=_run)
