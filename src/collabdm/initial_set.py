"""The initial synthetic set: the local sets joined, a slot for each of ipc samples of every class.

Slots follow what the clients hold: refinement starts there, and a class of which one site has nearly all must not start
as the few others see it. Which client gets a slot that its share leaves open, and which of its samples are taken, is
drawn by a number that only the server knows, so that no client can place its samples.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.errors import QuorumError, explain
from collabdm.local.centres import weighted_kmeans
from collabdm.protocol import LOCAL_METHODS, Contribution, Plan
from collabdm.protocol.stored import in_order
from collabdm.randomness import Stream

__all__ = ["InitialSet", "draw_of", "initial_set", "slots"]


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialSet:
    """`samples` float32 [n, *shape] and `labels` int64 [n], ascending; `topped_up`: samples made per class, where the
    plan asks for local sets; `missing`: classes that nobody holds, which the set therefore lacks; `taken`: samples by
    client; `draw`: what chose them."""

    samples: Tensor
    labels: Tensor
    topped_up: dict[int, int]
    missing: tuple[int, ...]
    taken: Mapping[str, int]
    draw: int


def initial_set(plan: Plan, contributions: Iterable[Contribution], draw: int | None = None) -> InitialSet:
    """Union of S_k (Algorithm 1, line 7) over clients in sorted order, exactly ipc samples of every class held.

    Where the plan has it clustered (small samples, such as rows of tables and most series), the set starts from the
    k-means centres of all that came of a class, where each sample counts by how many its client holds for each that it
    sent. Elsewhere every client gets `slots` by the samples it holds (at most `plan.most_held`), and fills them with
    those it sent. What it cannot fill goes to the others' further samples, again by what they hold. Where all that came
    is less than ipc, each missing sample is made of the received ones of the class as the modality says (images: tiles
    from random tiles, or a mix of two), with a little noise so that no two start alike. A class that is held but of
    which no sample came starts from noise with the mean and spread of what was received.

    `draw`: an integer that the server alone knows; by default `draw_of` the contributions.
    Raises `QuorumError` where nobody holds any class, or noise hides whatever is held.
    """
    ordered = in_order(contributions)
    draw = draw_of(ordered) if draw is None else draw
    # Of all contributions at once only labels and counts are held, and the samples that are taken.
    clients, held, labels = _looked_at(ordered)
    present = np.flatnonzero(held.sum(axis=0)).tolist()
    if not present:
        got = "none" if plan.privacy is None else f"none that stands out from the noise of {len(plan.clients)} sites"
        fix = "collect from sites with more samples" + (", or promise a larger epsilon" if plan.privacy else "")
        raise QuorumError(explain("classes held", got=got, expected="at least one", fix=fix))
    weights = {y: held[:, y] if plan.most_held is None else np.minimum(held[:, y], plan.most_held) for y in present}
    rows = {y: _rows(plan, clients, labels, weights[y], draw, y) for y in present}
    sent = _samples(ordered, rows)
    samples, topped_up, everything = [], {}, None
    for y in present:
        union = _centres(plan, sent[y], weights[y], draw, y) if plan.clustered else torch.cat(sent[y])
        if (short := plan.ipc - len(union)) > 0:
            if not LOCAL_METHODS[plan.local.method].empty:
                topped_up[y] = short
            if everything is None:
                # What is made is like all that came, which is held at once here, and read once for all classes.
                everything = torch.cat([torch.from_numpy(one.samples) for one in ordered])
            union = torch.cat([union, _made(plan, y, union, everything, short)])
        samples.append(union)
    return InitialSet(
        samples=torch.cat(samples),
        labels=torch.from_numpy(np.repeat(present, plan.ipc)),
        topped_up=topped_up,
        missing=tuple(np.flatnonzero(held.sum(axis=0) == 0).tolist()),
        taken={client: sum(len(of[k]) for of in rows.values()) for k, client in enumerate(clients)},
        draw=draw,
    )


def slots(held: np.ndarray, sent: Sequence[int], total: int, stream: Stream) -> np.ndarray:
    """How many of each client's samples are taken: int64 [clients], at most `sent`, together `total` or all there are.

    A client's expected number is its share of `held`: the whole part is its own, and who gets the rest is drawn
    (systematic sampling in a random order). What clients cannot fill is shared in the same way among those that sent
    more, until none is left.
    """
    taken, left = np.zeros(len(held), np.int64), np.where(held > 0, sent, 0)
    while (open_slots := min(total - int(taken.sum()), int(left.sum()))) > 0:
        weights = np.where(left > 0, held, 0).astype(np.float64)
        order = stream.permutation(len(held))
        ends = np.cumsum(weights[order]) / weights.sum() * open_slots
        ends[-1] = open_slots
        reached = np.ceil(np.concatenate([[0.0], ends]) - float(stream.uniform()))
        share = np.empty_like(taken)
        share[order] = np.diff(reached).astype(np.int64)
        share = np.minimum(share, left)
        taken, left = taken + share, left - share
    return taken


def draw_of(contributions: Iterable[Contribution]) -> int:
    """An integer below 2**53 that all the contributions decide: nobody who has not seen the others' can foresee it."""
    digest = hashlib.sha256()
    for one in in_order(contributions):
        for value in (one.held, one.labels, one.samples):
            digest.update(np.ascontiguousarray(value).data)
    return int.from_bytes(digest.digest()[:8], "big") >> 11


def _looked_at(ordered: Sequence[Contribution]) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
    """Of all contributions, each read once: clients, samples held int64 [clients, classes], and labels of what came."""
    clients, held, labels = list[str](), list[np.ndarray](), list[np.ndarray]()
    for one in ordered:
        clients.append(one.client)
        held.append(one.held)
        labels.append(one.labels)
    return clients, np.stack(held), labels


def _rows(
    plan: Plan, clients: Sequence[str], labels: Sequence[np.ndarray], weight: np.ndarray, draw: int, y: int
) -> list[np.ndarray]:
    """Which rows of each client's local set are taken of class `y`: all where the set is clustered, else as many as it
    has slots. Of a class that it does not hold nothing of a client counts."""
    nothing = np.empty(0, np.int64)
    rows = [np.flatnonzero(own == y) if counts else nothing for own, counts in zip(labels, weight, strict=True)]
    if plan.clustered:
        return rows
    counts = slots(weight, [len(own) for own in rows], plan.ipc, Stream(draw, "slots", y)).tolist()
    return [
        own[np.sort(Stream(draw, "cut", y, client).choose(len(own), count))] if count else nothing
        for client, own, count in zip(clients, rows, counts, strict=True)
    ]


def _samples(ordered: Sequence[Contribution], rows: Mapping[int, Sequence[np.ndarray]]) -> dict[int, list[Tensor]]:
    """Those rows' samples by class and client; a contribution of which none is taken is not looked at."""
    found: dict[int, list[Tensor]] = {y: [] for y in rows}
    empty = torch.from_numpy(ordered[0].samples[:0])
    for k in range(len(ordered)):
        one = ordered[k] if any(len(of[k]) for of in rows.values()) else None
        for y, of in rows.items():
            found[y].append(empty if one is None else torch.from_numpy(one.samples[of[k]]))
    return found


def _centres(plan: Plan, sent: Sequence[Tensor], weight: np.ndarray, draw: int, y: int) -> Tensor:
    """At most ipc centres of all that came of class `y`, [m, *shape]: each sample stands for its share of its
    client's."""
    union = torch.cat([*sent])
    if not len(union):
        return union
    sizes = np.array([len(own) for own in sent])
    share = np.repeat(weight / np.maximum(sizes, 1), sizes)
    centres, _ = weighted_kmeans(union.flatten(1).double().numpy(), share, plan.ipc, Stream(draw, "centres", y))
    return torch.from_numpy(centres).float().view(-1, *plan.sample.shape)


def _made(plan: Plan, y: int, union: Tensor, everything: Tensor, count: int) -> Tensor:
    """`count` samples of class `y`, like the `union` of what came of it, or where that is empty like `everything`."""
    stream = Stream(plan.seed, "top-up", y)
    source = everything if len(everything) else torch.zeros(1, *plan.sample.shape)
    spread = float(source.std(correction=0)) or 1.0
    noise = torch.from_numpy(stream.uniform((count, *plan.sample.shape), -math.sqrt(3), math.sqrt(3))).float()
    if not len(union):
        return plan.sample.centre(source) + spread * noise
    return plan.sample.made_of(stream, union, count, plan.tiles) + 0.1 * spread * noise
