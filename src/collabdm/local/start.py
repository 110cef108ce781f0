"""What every local method begins with: the client's sums, and samples made of its real ones or of noise."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.matching.sums import Sums
from collabdm.modality import Modality
from collabdm.progress import Report
from collabdm.protocol import LOCAL_METHODS, Plan
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint

__all__ = ["LocalJob", "initial_samples", "packed_real", "unchanged"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalJob:
    """One client's local distillation: the plan, the client's name and samples, and the sums over them.

    `checkpoint`: where a method keeps its state on the way, and finds that of an interrupted call.
    """

    plan: Plan
    client: str
    samples: Samples
    sums: Sums
    engine: Engine
    checkpoint: Checkpoint = field(default_factory=Checkpoint)

    @property
    def members(self) -> dict[int, np.ndarray]:
        """Indices of the samples of every class held."""
        return {y: self.samples.of_class(y) for y, held in enumerate(self.samples.counts()) if held}

    def real(self, rows: np.ndarray) -> Tensor:
        """Real samples as networks see them, [len(rows), *shape]."""
        values = self.samples.values[rows]
        return self.plan.sample.tensors(values, device=self.engine.device, dtype=self.engine.sample_dtype)


def initial_samples(job: LocalJob) -> tuple[Tensor, Tensor]:
    """Samples [n, *shape] and labels [n] to start from: at most floor(ipc / K) + 1 a class held.

    Where they start from real ones, a class with few samples gets fewer, so that none starts as another's copy.
    """
    plan, samples, engine = job.plan, job.samples, job.engine
    nothing = torch.empty(0, *plan.sample.shape, device=engine.device, dtype=engine.sample_dtype)
    started, labels, parts = [nothing], list[int](), plan.tiles**2
    for y, held in enumerate(samples.counts()):
        if not held or LOCAL_METHODS[plan.local.method].empty:
            continue
        count = plan.local_per_class
        stream = Stream(plan.seed, "local-init", job.client, y)
        if plan.local.init == "real":
            count = min(count, max(1, int(held) // parts))
            rows = samples.of_class(y)[stream.choose(int(held), count * parts)]
            started.append(packed_real(samples, np.resize(rows, count * parts), plan.tiles, plan.sample, engine=engine))
        else:
            # Uniform with mean 0 and variance 1, as normalised pixels have.
            noise = stream.uniform((count, *plan.sample.shape), -math.sqrt(3), math.sqrt(3))
            started.append(torch.from_numpy(noise).to(engine.device, engine.sample_dtype))
        labels += [y] * count
    joined = torch.cat(started)
    return joined, torch.tensor(labels, dtype=torch.int64, device=joined.device)


def packed_real(samples: Samples, indices: np.ndarray, tiles: int, sample: Modality, *, engine: Engine) -> Tensor:
    """Stored samples [len(indices) / tiles**2, *shape] that expand to the real ones at `indices` (shrunk to tiles)."""
    values = samples.values[indices]
    return sample.pack(sample.tensors(values, device=engine.device, dtype=engine.sample_dtype), tiles)


def unchanged(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """The samples as they start: the local set is real samples."""
    return samples
