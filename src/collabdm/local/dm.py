"""Distribution matching on one client's own data (LocalDM)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from collabdm.augment import draw_augmentation
from collabdm.embedding import Embedder, class_moments, embedder_for
from collabdm.engine import Engine
from collabdm.local.start import LocalJob
from collabdm.matching import ClassTarget, SyntheticState, matching_step
from collabdm.progress import Event, Report
from collabdm.randomness import Stream
from collabdm.statistics import MOMENTS, STATISTICS

__all__ = ["matched_images"]


def matched_images(job: LocalJob, images: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial images [n, C, H, W] with labels [n], after `local.iterations` steps.

    With partition and expand the standard deviations of the embeddings are matched too. With `local.reuse` iteration i
    matches the statistics of the client's seed i mod its number of seeds (reshuffled each pass) instead of embedding
    fresh real data.
    """
    plan, spec = job.plan, job.plan.local
    embedder = embedder_for(plan.network, plan.sample.shape, job.engine)
    state = SyntheticState(images=images, labels=labels, momentum=torch.zeros_like(images))
    statistic = MOMENTS if plan.pae > 1 else STATISTICS["mean"]
    reuse = spec.reuse and len(job.statistics.seeds) > 0
    source = _reused(job) if reuse else _fresh(job, embedder)
    for i, (seed, targets) in zip(range(spec.iterations), source, strict=False):
        state, losses = matching_step(
            state,
            {y: _on_engine(target, job.engine) for y, target in targets.items()},
            embedder=embedder,
            encoder=embedder.encoder(seed),
            statistic=statistic,
            factor=plan.pae,
            lr=spec.lr,
            momentum=spec.momentum,
            step="joint",
        )
        report(Event(stage="local", client=job.client, done=i + 1, total=spec.iterations, loss=sum(losses.values())))
    return state.images


Targets = tuple[int, dict[int, ClassTarget]]


def _reused(job: LocalJob) -> Iterator[Targets]:
    plan, statistics = job.plan, job.statistics
    passes = 0
    while True:
        for row in Stream(plan.seed, "local-order", job.client, passes).permutation(len(statistics.seeds)):
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


def _fresh(job: LocalJob, embedder: Embedder) -> Iterator[Targets]:
    plan, client, members = job.plan, job.client, job.members
    i = 0
    while True:
        seed = int(Stream(plan.seed, "local-alpha", client, i).raw(1)[0] >> 11)
        augmentations = {y: draw_augmentation(Stream(seed, "augment", y), plan.augment) for y in members}
        drawn = {
            y: rows[Stream(plan.seed, "local-batch", client, i, y).choose(len(rows), plan.local.batch)]
            for y, rows in members.items()
        }
        values = class_moments(
            embedder, embedder.encoder(seed), job.samples.images, drawn, augmentations, plan.normalisation
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
