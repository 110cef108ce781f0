"""The initial synthetic set: the union of the local sets, cut or topped up to ipc samples of every class.

Under a pure Dirichlet split few clients hold a class, and the union stays below ipc: the missing samples are made of
the received ones.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.protocol import Contribution, Plan
from collabdm.randomness import Stream

__all__ = ["InitialSet", "initial_set"]


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialSet:
    """`samples` float32 [n, *shape] and `labels` int64 [n], ascending; `topped_up`: samples made per class; `missing`:
    classes that nobody holds, which the set therefore lacks."""

    samples: Tensor
    labels: Tensor
    topped_up: dict[int, int]
    missing: tuple[int, ...]


def initial_set(plan: Plan, contributions: Iterable[Contribution]) -> InitialSet:
    """Union of S_k (Algorithm 1, line 7) over clients in sorted order, exactly ipc samples of every class held.

    Above ipc, a seeded draw keeps ipc. Below, each missing sample is made of the received ones of the class as the
    modality says (images: tiles from random tiles, or a mix of two), with a little noise so that no two start alike. A
    class that is held but of which no sample came starts from noise with the mean and spread of what was received.
    """
    ordered = sorted(contributions, key=lambda c: c.client)
    everything = torch.from_numpy(np.concatenate([c.samples for c in ordered]))
    labels = torch.from_numpy(np.concatenate([c.labels for c in ordered]))
    held = sum((c.held for c in ordered), np.zeros(len(plan.classes), np.int64))
    samples, topped_up = [], {}
    for y in np.flatnonzero(held).tolist():
        union = everything[labels == y]
        if len(union) > plan.ipc:
            kept = np.sort(Stream(plan.seed, "cut", y).choose(len(union), plan.ipc))
            union = union[torch.from_numpy(kept)]
        elif len(union) < plan.ipc:
            topped_up[y] = plan.ipc - len(union)
            union = torch.cat([union, _made(plan, y, union, everything, topped_up[y])])
        samples.append(union)
    present = np.flatnonzero(held)
    return InitialSet(
        samples=torch.cat(samples),
        labels=torch.from_numpy(np.repeat(present, plan.ipc)),
        topped_up=topped_up,
        missing=tuple(np.flatnonzero(held == 0).tolist()),
    )


def _made(plan: Plan, y: int, union: Tensor, everything: Tensor, count: int) -> Tensor:
    stream = Stream(plan.seed, "top-up", y)
    source = everything if len(everything) else torch.zeros(1, *plan.sample.shape)
    spread = float(source.std(correction=0)) or 1.0
    noise = torch.from_numpy(stream.uniform((count, *plan.sample.shape), -math.sqrt(3), math.sqrt(3))).float()
    if not len(union):
        return plan.sample.centre(source) + spread * noise
    return plan.sample.made_of(stream, union, count, plan.tiles) + 0.1 * spread * noise
