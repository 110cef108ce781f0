"""Distribution matching: the loss of the synthetic images under one encoder, and the step on them.

Used by the server (Algorithm 1, lines 8-14) and by the local stage of each client.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collabdm.images.augment import Augmentation
from collabdm.images.partition_expand import expand
from collabdm.images.pixels import uploaded
from collabdm.matching.embedding import Embedder
from collabdm.matching.statistic import Statistic

__all__ = ["ClassTarget", "StepKind", "SyntheticState", "matching_step"]

StepKind = Literal["joint", "per-class"]

# Expanded images whose activations are held for the backward pass at once (0.2 to 0.7 MB each in bfloat16).
HELD_IMAGES = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassTarget:
    """What a class is matched to at a seed: the real statistic [parts, d] of `drawn` samples, and its augmentation."""

    value: Tensor
    drawn: int
    augmentation: Augmentation | None


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticState:
    """Synthetic images [n, C, H, W] (normalised), their labels int64 [n], and the optimiser's momentum buffer.

    Labels are kept on the CPU: which images are whose is settled without asking an accelerator.
    """

    images: Tensor
    labels: Tensor
    momentum: Tensor


def matching_step(
    state: SyntheticState,
    targets: Mapping[int, ClassTarget],
    *,
    embedder: Embedder,
    encoder: Mapping[str, Tensor],
    statistic: Statistic,
    factor: int,
    lr: float,
    momentum: float,
    step: StepKind,
    chosen: Mapping[int, Tensor] | None = None,
) -> tuple[SyntheticState, dict[int, float]]:
    """One seed's update of the images, with stochastic gradient descent with momentum; returns the loss per class.

    `targets` holds the covered classes (those without an image in the set are left out); `factor` is the
    partition-and-expand l; `chosen` restricts a class to a batch of its images (indices into `state.images`), all of
    them by default.

    `joint`: one step on the sum over classes (lines 13-14). `per-class`: one step per covered class in ascending
    order, the image tensor being one parameter, so that a class's images also move by their momentum in the steps of
    the other classes. Those moves are known in closed form, so all classes are still embedded in one batch: before
    its own step, the class at position j of n has drifted by lr * buffer * (m + ... + m**j), and after it by n - 1 - j
    such moves.
    """
    rows = {y: (state.labels == y).nonzero().flatten() for y in sorted(targets)}
    order = [y for y in rows if len(rows[y])]
    if not order:
        return state, {}
    before, after = _moves(state.labels, order, step)
    images, buffer = _drift(state.images, state.momentum, before, lr, momentum)
    gradient = torch.zeros_like(images)
    losses: dict[int, float] = {}
    members = rows if chosen is None else chosen
    for group in _groups({y: members[y] for y in order}, factor):
        _add_gradient(gradient, losses, images, group, targets, embedder, encoder, statistic, factor)
    own = torch.isin(state.labels, torch.tensor(order)) | (step == "joint")
    own = uploaded(own, images.device).view(-1, 1, 1, 1)
    buffer = torch.where(own, momentum * buffer + gradient, buffer)
    images = torch.where(own, images - lr * buffer, images)
    images, buffer = _drift(images, buffer, after, lr, momentum)
    return SyntheticState(images=images, labels=state.labels, momentum=buffer), losses


def _add_gradient(
    gradient: Tensor,
    losses: dict[int, float],
    images: Tensor,
    group: Mapping[int, Tensor],
    targets: Mapping[int, ClassTarget],
    embedder: Embedder,
    encoder: Mapping[str, Tensor],
    statistic: Statistic,
    factor: int,
) -> None:
    """The gradient of the classes' losses, written at their images; losses go to `losses`."""
    indices = uploaded(torch.cat(list(group.values())), images.device)
    leaf = images[indices].requires_grad_()
    expanded = expand(leaf, factor)
    sizes = [len(rows) * factor * factor for rows in group.values()]
    augmentations = [targets[y].augmentation for y in group]
    embedded, back = embedder.linearised(dict(encoder), expanded.detach(), sizes, augmentations)
    embeddings = embedded.requires_grad_()
    parts = zip(group, embeddings.split(sizes), strict=True)
    terms = torch.stack([statistic.loss(targets[y].value, targets[y].drawn, part) for y, part in parts])
    (at_embeddings,) = torch.autograd.grad(terms.sum(), embeddings)
    (at_images,) = torch.autograd.grad(expanded, leaf, back(at_embeddings))
    gradient[indices] = at_images
    losses.update(zip(group, terms.detach().tolist(), strict=True))


def _groups(members: Mapping[int, Tensor], factor: int) -> Iterator[dict[int, Tensor]]:
    group: dict[int, Tensor] = {}
    held = 0
    for y, rows in members.items():
        size = len(rows) * factor * factor
        if group and held + size > HELD_IMAGES:
            yield group
            group, held = {}, 0
        group[y] = rows
        held += size
    if group:
        yield group


def _moves(labels: Tensor, order: Sequence[int], step: StepKind) -> tuple[Tensor, Tensor]:
    """How many steps of other classes come before and after each image's own; all of them where it has none."""
    if step == "joint":
        none = torch.zeros_like(labels)
        return none, none
    before = torch.full_like(labels, len(order))
    for position, y in enumerate(order):
        before[labels == y] = position
    after = (len(order) - 1 - before).clamp_min(0)
    return before, after


def _drift(images: Tensor, buffer: Tensor, moves: Tensor, lr: float, momentum: float) -> tuple[Tensor, Tensor]:
    """`moves` steps with zero gradient: the buffer decays by `momentum` each time, and the images follow it."""
    if not bool(moves.any()):
        return images, buffer
    most = int(moves.max())
    powers = torch.tensor([momentum**i for i in range(most + 1)], dtype=images.dtype, device=images.device)
    travelled = torch.cat([powers.new_zeros(1), powers[1:].cumsum(0)])
    rows = moves.view(-1, 1, 1, 1)
    return images - lr * travelled[rows] * buffer, powers[rows] * buffer
