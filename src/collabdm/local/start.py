"""What every local method begins with: the client's statistics, and images made of its real samples or of noise."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.images.partition_expand import pack
from collabdm.images.pixels import Normalisation, normalised
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint

__all__ = ["ClientStatistics", "LocalJob", "images_from_real", "initial_images"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientStatistics:
    """A client's moments: `values` [seeds, classes, 2, d] for the assigned `seeds` and held `classes`, both ascending;
    `drawn`: the batch size of each class."""

    seeds: tuple[int, ...]
    classes: tuple[int, ...]
    values: Tensor
    drawn: Mapping[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalJob:
    """One client's local distillation: the plan, the client's name and samples, and its statistics.

    `checkpoint`: where a method keeps its state on the way, and finds that of an interrupted call.
    """

    plan: Plan
    client: str
    samples: Samples
    statistics: ClientStatistics
    engine: Engine
    checkpoint: Checkpoint = field(default_factory=Checkpoint)

    @property
    def members(self) -> dict[int, np.ndarray]:
        """Indices of the samples of every class held."""
        return {y: self.samples.of_class(y) for y, held in enumerate(self.samples.counts()) if held}

    def real(self, rows: np.ndarray) -> Tensor:
        """Normalised real images [len(rows), C, H, W]."""
        pixels = self.samples.images[rows]
        return normalised(pixels, self.plan.normalisation, device=self.engine.device, dtype=self.engine.image_dtype)


def initial_images(job: LocalJob) -> tuple[Tensor, Tensor]:
    """Images [n, C, H, W] and labels [n] to start from: at most floor(ipc / K) + 1 a class held.

    Where images start from real ones, a class with few samples gets fewer, so that none starts as another's copy.
    """
    plan, samples, engine = job.plan, job.samples, job.engine
    images, labels, tiles = [], [], plan.pae**2
    for y, held in enumerate(samples.counts()):
        if not held:
            continue
        count = plan.local_per_class
        stream = Stream(plan.seed, "local-init", job.client, y)
        if plan.local.init == "real":
            count = min(count, max(1, int(held) // tiles))
            rows = samples.of_class(y)[stream.choose(int(held), count * tiles)]
            images.append(
                images_from_real(samples, np.resize(rows, count * tiles), plan.pae, plan.normalisation, engine=engine)
            )
        else:
            # Uniform with mean 0 and variance 1, as normalised pixels have.
            noise = stream.uniform((count, *plan.sample.shape), -math.sqrt(3), math.sqrt(3))
            images.append(torch.from_numpy(noise).to(engine.device, engine.image_dtype))
        labels += [y] * count
    joined = torch.cat(images)
    return joined, torch.tensor(labels, device=joined.device)


def images_from_real(
    samples: Samples, indices: np.ndarray, factor: int, normalisation: Normalisation, *, engine: Engine
) -> Tensor:
    """Stored images [len(indices) / factor**2, C, H, W] whose tiles are the samples at `indices`, downsampled."""
    pixels = samples.images[indices]
    return pack(normalised(pixels, normalisation, device=engine.device, dtype=engine.image_dtype), factor)
