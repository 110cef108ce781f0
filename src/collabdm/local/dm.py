"""Distribution matching on one client's own data (LocalDM)."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count

import numpy as np
import torch
from torch import Tensor

from collabdm.engine import Engine
from collabdm.engine.placing import uploaded
from collabdm.local.start import LocalJob
from collabdm.matching.embedding import Embedder, class_sums, embedder_for
from collabdm.matching.statistic import MEAN, MOMENTS
from collabdm.matching.step import ClassTarget, Descent, Encoding, SyntheticState, Targets, matching_step
from collabdm.modality import Augmentation, draw_augmentation
from collabdm.progress import Event, Report
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint

__all__ = ["fresh_targets", "kept", "matched_samples", "on_engine", "resumed"]


def matched_samples(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial samples [n, *shape] with labels [n], after `local.iterations` steps.

    With tiles the standard deviations of the embeddings are matched too. With `local.reuse` iteration i matches the
    sums of the client's seed i mod its number of seeds (reshuffled each pass) instead of embedding fresh real data.
    """
    plan, spec = job.plan, job.plan.local
    embedder = embedder_for(plan.network, plan.sample.shape, job.engine)
    begin, state = resumed(job.checkpoint, samples, labels)
    statistic = MOMENTS if plan.tiles > 1 else MEAN
    reuse = spec.statistic is not None and len(job.sums.seeds) > 0
    source = _reused(job, begin) if reuse else _fresh(job, embedder, begin)
    for i, (seed, targets) in zip(range(begin, spec.iterations), source, strict=False):
        state, losses = matching_step(
            state,
            Targets(statistic=statistic, classes={y: on_engine(one, job.engine) for y, one in targets.items()}),
            Encoding(embedder=embedder, parameters=embedder.encoder(seed), sample=plan.sample, tiles=plan.tiles),
            Descent(lr=spec.lr, momentum=spec.momentum),
        )
        report(Event(stage="local", client=job.client, done=i + 1, total=spec.iterations, loss=sum(losses.values())))
        job.checkpoint.keep(partial(kept, state, i + 1))
    return state.samples


def kept(state: SyntheticState, done: int) -> dict[str, Tensor]:
    """A state after `done` steps, as a checkpoint keeps it."""
    return {"samples": state.samples, "momentum": state.momentum, "done": torch.tensor(done)}


def resumed(checkpoint: Checkpoint, samples: Tensor, labels: Tensor) -> tuple[int, SyntheticState]:
    """The steps done and the state that an interrupted call left, or those before the first step."""
    found = checkpoint.found()
    if not found:
        return 0, SyntheticState(samples=samples, labels=labels.cpu(), momentum=torch.zeros_like(samples))
    known, momentum = (found[name].to(samples) for name in ("samples", "momentum"))
    return int(found["done"]), SyntheticState(samples=known, labels=labels.cpu(), momentum=momentum)


Found = tuple[int, dict[int, ClassTarget]]


def _reused(job: LocalJob, begin: int) -> Iterator[Found]:
    """From iteration `begin` on."""
    plan, sums = job.plan, job.sums
    values = torch.from_numpy(sums.finished(MOMENTS))
    passes, first = divmod(begin, len(sums.seeds))
    while True:
        order = Stream(plan.seed, "local-order", job.client, passes).permutation(len(sums.seeds))
        for row in order[first:]:
            t = sums.seeds[row]
            yield (
                plan.encoder_seed(t),
                {
                    y: ClassTarget(value=values[row, column], drawn=sums.drawn[y], augmentation=plan.augmentation(t, y))
                    for column, y in enumerate(sums.classes)
                },
            )
        passes, first = passes + 1, 0


def _fresh(job: LocalJob, embedder: Embedder, begin: int) -> Iterator[Found]:
    """From iteration `begin` on."""
    plan, client, members = job.plan, job.client, job.members
    for i in count(begin):
        seed = int(Stream(plan.seed, "local-alpha", client, i).raw(1)[0] >> 11)
        augmentations = {y: draw_augmentation(Stream(seed, "augment", y), plan.augment) for y in members}
        drawn = {
            y: rows[Stream(plan.seed, "local-batch", client, i, y).choose(len(rows), plan.local.batch)]
            for y, rows in members.items()
        }
        yield seed, fresh_targets(job, embedder, embedder.encoder(seed), drawn, augmentations)


def fresh_targets(
    job: LocalJob,
    embedder: Embedder,
    encoder: dict[str, Tensor],
    drawn: Mapping[int, np.ndarray],
    augmentations: Mapping[int, Augmentation | None],
) -> dict[int, ClassTarget]:
    """The moments of real samples, whose indices per class are `drawn`, under one encoder."""
    sample, classes = job.plan.sample, sorted(drawn)
    sums = class_sums(embedder, encoder, job.samples.values, drawn, augmentations, sample, MOMENTS.terms)
    counts = torch.tensor([len(drawn[y]) for y in classes], dtype=torch.float64).view(-1, 1, 1)
    values = MOMENTS.finish(sums / counts)
    return {
        y: ClassTarget(value=values[row], drawn=len(drawn[y]), augmentation=augmentations[y])
        for row, y in enumerate(classes)
    }


def on_engine(target: ClassTarget, engine: Engine) -> ClassTarget:
    """The target where the engine computes, in its dtype."""
    value = uploaded(target.value, torch.device(engine.device), engine.sample_dtype)
    return ClassTarget(value=value, drawn=target.drawn, augmentation=target.augmentation)
