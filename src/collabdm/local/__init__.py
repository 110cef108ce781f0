"""The local stage: one client's own data distilled to S_k.

The paper leaves the choice open (section 4.2): any distillation serves. A new method is one file here and one line in
`LOCAL_METHODS` (`collabdm.protocol`).
"""

import numpy as np

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.local.start import LocalJob, initial_samples, packed_real
from collabdm.matching.sums import Sums
from collabdm.progress import Report, silent
from collabdm.protocol import LOCAL_METHODS, Plan
from collabdm.registry import resolved_entry
from collabdm.storage.checkpoints import Checkpoint

__all__ = ["LocalJob", "distill_locally", "packed_real"]


def distill_locally(
    plan: Plan,
    client: str,
    samples: Samples,
    sums: Sums,
    *,
    engine: Engine,
    checkpoint: Checkpoint | None = None,
    report: Report = silent,
) -> dict[str, np.ndarray]:
    """S_k: `samples` float32 [n, *shape], `labels` int64 [n]; at most floor(ipc / K) + 1 a class held.

    With a `checkpoint` an interrupted call goes on from it, to the same bits.
    """
    job = LocalJob(
        plan=plan,
        client=client,
        samples=samples,
        sums=sums,
        engine=engine,
        checkpoint=checkpoint or Checkpoint(),
    )
    start, labels = initial_samples(job)
    run = resolved_entry(LOCAL_METHODS[plan.local.method].run)
    distilled = run(job, start, labels, report)
    return {"samples": distilled.float().cpu().numpy(), "labels": labels.cpu().numpy()}
