"""The local stage: one client's own data distilled to S_k. A new method is one file and one line in `LOCAL_METHODS`.

The paper leaves the choice open (section 4.2): any distillation serves.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.local.bptt import bptt_images
from collabdm.local.coresets import cluster_means, mixture_means
from collabdm.local.dm import matched_images
from collabdm.local.feddm import one_network_images
from collabdm.local.gradient import gradient_images
from collabdm.local.kip import kip_images
from collabdm.local.start import ClientStatistics, LocalJob, images_from_real, initial_images
from collabdm.progress import Report, silent
from collabdm.protocol import Plan
from collabdm.storage.checkpoints import Checkpoint

__all__ = ["LOCAL_METHODS", "ClientStatistics", "LocalJob", "distill_locally", "images_from_real"]

# From a job, initial images [n, C, H, W] and their labels [n] to the distilled images.
LOCAL_METHODS: dict[str, Callable[[LocalJob, Tensor, Tensor, Report], Tensor]] = {
    "dm": matched_images,
    "kip": kip_images,
    "gmm": mixture_means,
    "dbscan": cluster_means,
    "gradient": gradient_images,
    "bptt": bptt_images,
    "feddm": one_network_images,
    "real": lambda job, images, labels, report: images,
}


def distill_locally(
    plan: Plan,
    client: str,
    samples: Samples,
    statistics: ClientStatistics,
    *,
    engine: Engine,
    checkpoint: Checkpoint | None = None,
    report: Report = silent,
) -> dict[str, np.ndarray]:
    """S_k: `images` float32 [n, C, H, W] normalised, `labels` int64 [n]; at most floor(ipc / K) + 1 a class held.

    With a `checkpoint` an interrupted call goes on from it, to the same bits.
    """
    job = LocalJob(
        plan=plan,
        client=client,
        samples=samples,
        statistics=statistics,
        engine=engine,
        checkpoint=checkpoint or Checkpoint(),
    )
    images, labels = initial_images(job)
    distilled = LOCAL_METHODS[plan.local.method](job, images, labels, report)
    return {"images": distilled.float().cpu().numpy(), "labels": labels.cpu().numpy()}
