"""Distribution matching on one client's own data (LocalDM)."""

from collections.abc import Iterator
from functools import partial
from itertools import count

import torch
from torch import Tensor

from collabdm.engine import Engine
from collabdm.images.augment import draw_augmentation
from collabdm.images.pixels import uploaded
from collabdm.local.start import LocalJob
from collabdm.matching.embedding import Embedder, class_moments, embedder_for
from collabdm.matching.statistic import MOMENTS, STATISTICS
from collabdm.matching.step import ClassTarget, SyntheticState, matching_step
from collabdm.progress import Event, Report
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint

__all__ = ["kept", "matched_images", "resumed"]


def matched_images(job: LocalJob, images: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial images [n, C, H, W] with labels [n], after `local.iterations` steps.

    With partition and expand the standard deviations of the embeddings are matched too. With `local.reuse` iteration i
    matches the statistics of the client's seed i mod its number of seeds (reshuffled each pass) instead of embedding
    fresh real data.
    """
    plan, spec = job.plan, job.plan.local
    embedder = embedder_for(plan.network, plan.sample.shape, job.engine)
    begin, state = resumed(job.checkpoint, images, labels)
    statistic = MOMENTS if plan.pae > 1 else STATISTICS["mean"]
    reuse = spec.reuse and len(job.statistics.seeds) > 0
    source = _reused(job, begin) if reuse else _fresh(job, embedder, begin)
    for i, (seed, targets) in zip(range(begin, spec.iterations), source, strict=False):
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
        job.checkpoint.keep(partial(kept, state, i + 1))
    return state.images


def kept(state: SyntheticState, done: int) -> dict[str, Tensor]:
    """A state after `done` steps, as a checkpoint keeps it."""
    return {"images": state.images, "momentum": state.momentum, "done": torch.tensor(done)}


def resumed(checkpoint: Checkpoint, images: Tensor, labels: Tensor) -> tuple[int, SyntheticState]:
    """The steps done and the state that an interrupted call left, or those before the first step."""
    found = checkpoint.found()
    if not found:
        return 0, SyntheticState(images=images, labels=labels.cpu(), momentum=torch.zeros_like(images))
    known, momentum = (found[name].to(images) for name in ("images", "momentum"))
    return int(found["done"]), SyntheticState(images=known, labels=labels.cpu(), momentum=momentum)


Targets = tuple[int, dict[int, ClassTarget]]


def _reused(job: LocalJob, begin: int) -> Iterator[Targets]:
    """From iteration `begin` on."""
    plan, statistics = job.plan, job.statistics
    passes, first = divmod(begin, len(statistics.seeds))
    while True:
        order = Stream(plan.seed, "local-order", job.client, passes).permutation(len(statistics.seeds))
        for row in order[first:]:
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
        passes, first = passes + 1, 0


def _fresh(job: LocalJob, embedder: Embedder, begin: int) -> Iterator[Targets]:
    """From iteration `begin` on."""
    plan, client, members = job.plan, job.client, job.members
    for i in count(begin):
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


def _on_engine(target: ClassTarget, engine: Engine) -> ClassTarget:
    value = uploaded(target.value, torch.device(engine.device), engine.image_dtype)
    return ClassTarget(value=value, drawn=target.drawn, augmentation=target.augmentation)
