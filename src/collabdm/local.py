"""The local stage: distribution matching on one client's own data (LocalDM), giving S_k."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.augment import draw_augmentation
from collabdm.data.samples import Samples
from collabdm.embedding import Embedder, class_moments, embedder_for
from collabdm.engine import Engine
from collabdm.matching import ClassTarget, SyntheticState, matching_step
from collabdm.partition_expand import pack
from collabdm.pixels import Normalisation, normalised
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.statistics import MOMENTS, STATISTICS

__all__ = ["ClientStatistics", "distill_locally", "images_from_real"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientStatistics:
    """A client's moments: `values` [seeds, classes, 2, d] for the assigned `seeds` and held `classes`, both ascending;
    `drawn`: the batch size of each class."""

    seeds: tuple[int, ...]
    classes: tuple[int, ...]
    values: Tensor
    drawn: Mapping[int, int]


def distill_locally(
    plan: Plan,
    client: str,
    samples: Samples,
    statistics: ClientStatistics,
    *,
    engine: Engine,
    report: Report = silent,
) -> dict[str, np.ndarray]:
    """S_k: `images` float32 [n, C, H, W] normalised, `labels` int64 [n]; at most floor(ipc / K) + 1 a class held.

    With partition and expand the standard deviations of the embeddings are matched too. With `local.reuse` iteration i
    matches the statistics of the client's seed i mod its number of seeds (reshuffled each pass) instead of embedding
    fresh real data. Where images start from real ones, a class with few samples gets fewer, so that none starts as
    another's copy.
    """
    spec = plan.local
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    state = _initial(plan, client, samples, engine)
    statistic = MOMENTS if plan.pae > 1 else STATISTICS["mean"]
    reuse = spec.reuse and len(statistics.seeds) > 0
    source = _reused(plan, client, statistics) if reuse else _fresh(plan, client, samples, embedder)
    for i, (seed, targets) in zip(range(spec.iterations), source, strict=False):
        state, losses = matching_step(
            state,
            {y: _on_engine(target, engine) for y, target in targets.items()},
            embedder=embedder,
            encoder=embedder.encoder(seed),
            statistic=statistic,
            factor=plan.pae,
            lr=spec.lr,
            momentum=spec.momentum,
            step="joint",
        )
        report(Event(stage="local", client=client, done=i + 1, total=spec.iterations, loss=sum(losses.values())))
    return {"images": state.images.float().cpu().numpy(), "labels": state.labels.cpu().numpy()}


def images_from_real(
    samples: Samples, indices: np.ndarray, factor: int, normalisation: Normalisation, *, engine: Engine
) -> Tensor:
    """Stored images [len(indices) / factor**2, C, H, W] whose tiles are the samples at `indices`, downsampled."""
    pixels = samples.images[indices]
    return pack(normalised(pixels, normalisation, device=engine.device, dtype=engine.image_dtype), factor)


def _initial(plan: Plan, client: str, samples: Samples, engine: Engine) -> SyntheticState:
    images, labels, tiles = [], [], plan.pae**2
    for y, held in enumerate(samples.counts()):
        if not held:
            continue
        count = plan.local_per_class
        stream = Stream(plan.seed, "local-init", client, y)
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
    return SyntheticState(
        images=joined, labels=torch.tensor(labels, device=joined.device), momentum=torch.zeros_like(joined)
    )


Targets = tuple[int, dict[int, ClassTarget]]


def _reused(plan: Plan, client: str, statistics: ClientStatistics) -> Iterator[Targets]:
    passes = 0
    while True:
        for row in Stream(plan.seed, "local-order", client, passes).permutation(len(statistics.seeds)):
            t = statistics.seeds[row]
            yield (
                plan.encoder_seed(t),
                {
                    y: ClassTarget(
                        value=statistics.values[row, column],
                        drawn=statistics.drawn[y],
                        augmentation=plan.augmentation(t, y),
                    )
                    for column, y in enumerate(statistics.classes)
                },
            )
        passes += 1


def _fresh(plan: Plan, client: str, samples: Samples, embedder: Embedder) -> Iterator[Targets]:
    members = {y: samples.of_class(y) for y, held in enumerate(samples.counts()) if held}
    i = 0
    while True:
        seed = int(Stream(plan.seed, "local-alpha", client, i).raw(1)[0] >> 11)
        augmentations = {y: draw_augmentation(Stream(seed, "augment", y), plan.augment) for y in members}
        drawn = {
            y: rows[Stream(plan.seed, "local-batch", client, i, y).choose(len(rows), plan.local.batch)]
            for y, rows in members.items()
        }
        values = class_moments(
            embedder, embedder.encoder(seed), samples.images, drawn, augmentations, plan.normalisation
        )
        yield (
            seed,
            {
                y: ClassTarget(value=torch.from_numpy(values[row]), drawn=len(drawn[y]), augmentation=augmentations[y])
                for row, y in enumerate(sorted(drawn))
            },
        )
        i += 1


def _on_engine(target: ClassTarget, engine: Engine) -> ClassTarget:
    value = target.value.to(engine.device, engine.image_dtype)
    return ClassTarget(value=value, drawn=target.drawn, augmentation=target.augmentation)
