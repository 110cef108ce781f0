"""The initial synthetic set: the union of the local sets, cut or topped up to ipc images of every class.

Under a pure Dirichlet split few clients hold a class, and the union stays below ipc: the missing images are made of the
received ones.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.images.partition_expand import tiles_by_size
from collabdm.protocol import Contribution, Plan
from collabdm.randomness import Stream

__all__ = ["InitialSet", "initial_set"]


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialSet:
    """`images` float32 [n, C, H, W] (normalised) and `labels` int64 [n], ascending; `topped_up`: images made per class;
    `missing`: classes that nobody holds, which the set therefore lacks."""

    images: Tensor
    labels: Tensor
    topped_up: dict[int, int]
    missing: tuple[int, ...]


def initial_set(plan: Plan, contributions: Iterable[Contribution]) -> InitialSet:
    """Union of S_k (Algorithm 1, line 7) over clients in sorted order, exactly ipc images of every class held.

    Above ipc, a seeded draw keeps ipc. Below, each missing image takes its tiles from random tiles of the received
    images of the class (partition and expand), or is a random mix of two of them (l = 1), with a little noise so that
    no two start alike. A class that is held but of which no image came starts from noise with the mean and spread of
    the received pixels.
    """
    ordered = sorted(contributions, key=lambda c: c.client)
    everything = torch.from_numpy(np.concatenate([c.images for c in ordered]))
    labels = torch.from_numpy(np.concatenate([c.labels for c in ordered]))
    held = sum((c.held for c in ordered), np.zeros(len(plan.classes), np.int64))
    images, topped_up = [], {}
    for y in np.flatnonzero(held).tolist():
        union = everything[labels == y]
        if len(union) > plan.ipc:
            kept = np.sort(Stream(plan.seed, "cut", y).choose(len(union), plan.ipc))
            union = union[torch.from_numpy(kept)]
        elif len(union) < plan.ipc:
            topped_up[y] = plan.ipc - len(union)
            union = torch.cat([union, _made(plan, y, union, everything, topped_up[y])])
        images.append(union)
    present = np.flatnonzero(held)
    return InitialSet(
        images=torch.cat(images),
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
        return source.mean(dim=(0, 2, 3), keepdim=True) + spread * noise
    made = _permuted_tiles(stream, union, count, plan.pae) if plan.pae > 1 else _mixed(stream, union, count)
    return made + 0.1 * spread * noise


def _permuted_tiles(stream: Stream, union: Tensor, count: int, factor: int) -> Tensor:
    images = union.new_empty(count, *union.shape[1:])
    for (height, width), places in tiles_by_size(union.shape[2], union.shape[3], factor).items():
        for i in range(count):
            for _, top, left in places:
                donor, (_, from_top, from_left) = (
                    int(stream.integers(len(union))),
                    places[int(stream.integers(len(places)))],
                )
                tile = union[donor, :, from_top : from_top + height, from_left : from_left + width]
                images[i, :, top : top + height, left : left + width] = tile
    return images


def _mixed(stream: Stream, union: Tensor, count: int) -> Tensor:
    first, second = (torch.from_numpy(stream.integers(len(union), count)) for _ in range(2))
    share = torch.from_numpy(stream.uniform((count, 1, 1, 1), 0.25, 0.75)).float()
    return share * union[first] + (1 - share) * union[second]
