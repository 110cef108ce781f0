"""Distribution matching: the loss of the synthetic samples under one encoder, and the step on them.

Used by the server (Algorithm 1, lines 8-14) and by the local stage of each client.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from collabdm.engine.placing import uploaded
from collabdm.engine.workers import in_order, torch_threads
from collabdm.matching.embedding import Embedder
from collabdm.matching.statistic import Statistic
from collabdm.modality import Augmentation, Modality

__all__ = [
    "ClassTarget",
    "Descent",
    "Encoding",
    "StepKind",
    "SyntheticState",
    "Targets",
    "matching_loss",
    "matching_step",
]

StepKind = Literal["joint", "per-class"]

# Expanded samples whose activations are held for the backward pass at once (0.2 to 0.7 MB each in bfloat16).
HELD_SAMPLES = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassTarget:
    """What a class is matched to at a seed: the real statistic [rows, d] of `drawn` samples, and its augmentation.

    Where the statistic pools the classes, all have the one value.
    """

    value: Tensor
    drawn: int
    augmentation: Augmentation | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """The targets of one seed by class, and the statistic that they are."""

    statistic: Statistic
    classes: Mapping[int, ClassTarget]


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """How stored samples become embeddings at one seed: the network and its parameters, the modality, the tiles."""

    embedder: Embedder
    parameters: Mapping[str, Tensor]
    sample: Modality
    tiles: int


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How far and in which order one step goes: the rate, the momentum, and `StepKind`.

    `longest`: a sample's gradient counts as at most so long, in root mean square over the sample's values and as a
    multiple of the standard deviation over the values of all samples; without it every gradient counts in full.
    """

    lr: float
    momentum: float
    step: StepKind = "joint"
    longest: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticState:
    """Synthetic samples [n, *shape], their labels int64 [n], and the optimiser's momentum buffer.

    Labels are kept on the CPU: which samples are whose is settled without asking an accelerator.
    """

    samples: Tensor
    labels: Tensor
    momentum: Tensor


def matching_step(
    state: SyntheticState,
    targets: Targets,
    encoding: Encoding,
    descent: Descent,
    chosen: Mapping[int, Tensor] | None = None,
    guide: Callable[[Tensor], Tensor] | None = None,
) -> tuple[SyntheticState, dict[int, float]]:
    """One seed's update of the samples, with stochastic gradient descent with momentum; returns the loss per class.

    `targets` holds the covered classes (those without a sample in the set are left out); `chosen` restricts a class to
    a batch of its samples (indices into `state.samples`), all of them by default. A pooled statistic has one loss,
    which is told under the first class. `guide` gives a further direction [n, *shape] at the samples, whose length is
    taken as a multiple of that of the loss's gradient.

    `joint`: one step on the sum over classes (lines 13-14). `per-class`: one step per covered class in ascending
    order, the sample tensor being one parameter, so that a class's samples also move by their momentum in the steps of
    the other classes. Those moves are known in closed form, so all classes are still embedded in one batch: before
    its own step, the class at position j of n has drifted by lr * buffer * (m + ... + m**j), and after it by n - 1 - j
    such moves.
    """
    # Elsewhere than in the chunks too: helpers of torch's that have nothing more to do spin beside our workers.
    with torch_threads(encoding.embedder.threads.inner):
        return _stepped(state, targets, encoding, descent, chosen, guide)


def _stepped(
    state: SyntheticState,
    targets: Targets,
    encoding: Encoding,
    descent: Descent,
    chosen: Mapping[int, Tensor] | None,
    guide: Callable[[Tensor], Tensor] | None,
) -> tuple[SyntheticState, dict[int, float]]:
    rows = {y: (state.labels == y).nonzero().flatten() for y in sorted(targets.classes)}
    order = [y for y in rows if len(rows[y])]
    if not order:
        return state, {}
    lr, momentum, joint = descent.lr, descent.momentum, descent.step == "joint"
    before, after = _moves(state.labels, order, descent.step)
    samples, buffer = _drift(state.samples, state.momentum, before, descent)
    gradient = torch.zeros_like(samples)
    losses: dict[int, float] = {}
    members = rows if chosen is None else chosen
    for group in _groups({y: members[y] for y in order}, encoding.tiles, pooled=targets.statistic.pooled):
        indices, at_samples, found = _gradient(samples, group, targets, encoding)
        gradient[indices] = at_samples
        losses.update(found)
    if guide is not None:
        gradient = _guided(gradient, guide(samples))
    if descent.longest is not None:
        gradient = _shortened(gradient, descent.longest * samples.std(correction=0))
    own = torch.isin(state.labels, torch.tensor(order)) | joint
    own = _beside(uploaded(own, samples.device), samples)
    buffer = torch.where(own, momentum * buffer + gradient, buffer)
    samples = torch.where(own, samples - lr * buffer, samples)
    samples, buffer = _drift(samples, buffer, after, descent)
    return SyntheticState(samples=samples, labels=state.labels, momentum=buffer), losses


def matching_loss(state: SyntheticState, targets: Targets, encoding: Encoding) -> float:
    """The sum of the losses that `matching_step` would return, all samples of each class taken."""
    rows = {y: (state.labels == y).nonzero().flatten() for y in sorted(targets.classes)}
    total = 0.0
    held = {y: members for y, members in rows.items() if len(members)}
    for group in _groups(held, encoding.tiles, pooled=targets.statistic.pooled):
        leaf = state.samples[uploaded(torch.cat(list(group.values())), state.samples.device)]
        embeddings, _, sizes = _embedded(encoding.sample.expand(leaf, encoding.tiles), group, targets, encoding)
        total += float(_losses(targets, group, embeddings, sizes).sum())
    return total


def _gradient(
    samples: Tensor, group: Mapping[int, Tensor], targets: Targets, encoding: Encoding
) -> tuple[Tensor, Tensor, dict[int, float]]:
    """The indices of the group's samples, the gradient of the classes' losses at them, and the losses."""
    indices = uploaded(torch.cat(list(group.values())), samples.device)
    expanded, back_to_samples = _expanded(samples[indices], encoding)
    embedded, back, sizes = _embedded(expanded, group, targets, encoding)
    embeddings = embedded.requires_grad_()
    terms = _losses(targets, group, embeddings, sizes)
    (at_embeddings,) = torch.autograd.grad(terms.sum(), embeddings)
    at_samples = back_to_samples(back(at_embeddings))
    return indices, at_samples, dict(zip(group, terms.detach().tolist(), strict=False))


def _expanded(stored: Tensor, encoding: Encoding) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The tiles of stored samples as samples, and the way back, on the threads of the embedder."""
    tiles, spread = encoding.tiles**2, encoding.embedder.threads

    def forward(part: Tensor) -> tuple[Tensor, Tensor]:
        leaf = part.detach().requires_grad_()
        with torch.enable_grad():
            return leaf, encoding.sample.expand(leaf, encoding.tiles)

    def backward(held: tuple[tuple[Tensor, Tensor], Tensor]) -> Tensor:
        (leaf, expanded), at_expanded = held
        return torch.autograd.grad(expanded, leaf, at_expanded)[0]

    held = list(in_order(forward, stored.split(-(-len(stored) // spread.workers)), spread))

    def back(at_expanded: Tensor) -> Tensor:
        parts = at_expanded.split([len(leaf) * tiles for leaf, _ in held])
        return torch.cat(list(in_order(backward, zip(held, parts, strict=True), spread)))

    return torch.cat([expanded.detach() for _, expanded in held]), back


def _embedded(
    expanded: Tensor, group: Mapping[int, Tensor], targets: Targets, encoding: Encoding
) -> tuple[Tensor, Callable[[Tensor], Tensor], list[int]]:
    """The embeddings of the group's expanded samples after augmentation, the way back, and how many each class has."""
    sizes = [len(rows) * encoding.tiles**2 for rows in group.values()]
    transforms = [partial(encoding.sample.augment, augmentation=targets.classes[y].augmentation) for y in group]
    embedded, back = encoding.embedder.linearised(dict(encoding.parameters), expanded, sizes, transforms)
    return embedded, back, sizes


def _guided(gradient: Tensor, direction: Tensor) -> Tensor:
    """Both together, where the direction's length counts in units of the gradient's."""
    return gradient + torch.linalg.vector_norm(gradient) * direction


def _shortened(gradient: Tensor, longest: Tensor) -> Tensor:
    """Each sample's gradient [*shape], no longer than `longest` in root mean square; those that are not keep their
    bits."""
    lengths = gradient.flatten(1).square().mean(dim=1).sqrt()
    return gradient * _beside((longest / lengths).clamp_max(1), gradient)


def _losses(targets: Targets, group: Mapping[int, Tensor], embeddings: Tensor, sizes: Sequence[int]) -> Tensor:
    """One loss per class of the group, or a single one of a pooled statistic."""
    loss, classes = targets.statistic.loss, targets.classes
    if targets.statistic.pooled:
        drawn = sum(target.drawn for target in classes.values())
        return loss(next(iter(classes.values())).value, drawn, embeddings).view(1)
    parts = zip(group, embeddings.split(list(sizes)), strict=True)
    return torch.stack([loss(classes[y].value, classes[y].drawn, part) for y, part in parts])


def _beside(values: Tensor, samples: Tensor) -> Tensor:
    """One value per sample [n], in a shape that broadcasts over samples [n, *shape]."""
    return values.view(-1, *[1] * (samples.dim() - 1))


def _groups(members: Mapping[int, Tensor], tiles: int, *, pooled: bool) -> Iterator[dict[int, Tensor]]:
    """Classes that are embedded together: as many as memory allows, or all, where the loss pools them."""
    group: dict[int, Tensor] = {}
    held = 0
    for y, rows in members.items():
        size = len(rows) * tiles * tiles
        if group and not pooled and held + size > HELD_SAMPLES:
            yield group
            group, held = {}, 0
        group[y] = rows
        held += size
    if group:
        yield group


def _moves(labels: Tensor, order: Sequence[int], step: StepKind) -> tuple[Tensor, Tensor]:
    """How many steps of other classes come before and after each sample's own; all of them where it has none."""
    if step == "joint":
        none = torch.zeros_like(labels)
        return none, none
    before = torch.full_like(labels, len(order))
    for position, y in enumerate(order):
        before[labels == y] = position
    after = (len(order) - 1 - before).clamp_min(0)
    return before, after


def _drift(samples: Tensor, buffer: Tensor, moves: Tensor, descent: Descent) -> tuple[Tensor, Tensor]:
    """`moves` steps with zero gradient: the buffer decays by the momentum each time, and the samples follow it."""
    if not bool(moves.any()):
        return samples, buffer
    most = int(moves.max())
    powers = torch.tensor([descent.momentum**i for i in range(most + 1)], dtype=samples.dtype, device=samples.device)
    travelled = torch.cat([powers.new_zeros(1), powers[1:].cumsum(0)])
    moved, decayed = _beside(travelled[moves], samples), _beside(powers[moves], samples)
    return samples - descent.lr * moved * buffer, decayed * buffer
