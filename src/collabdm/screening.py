"""Local samples that do not look like the others' are kept out of the start set, where a rule protects the target.

The rule protects where refinement goes to, not where it starts: samples that are far out of size, or that show nothing
of their class, are not mended by it. So every sample is looked at in two ways that honest ones pass whatever they show:
its size (root mean square), and the distance of its embeddings from the protected target of its class, each against the
median client's. Honest samples were within 1.3 times that distance, and 1.7 under a Dirichlet split; flat images at 4.4
times or more, noise and samples of another class at about 3 (docs/trust.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from collabdm.engine import Engine
from collabdm.matching.aggregation import FEWEST
from collabdm.matching.embedding import embedder_for
from collabdm.matching.target import Target
from collabdm.protocol import Contribution, Plan

__all__ = ["Screened", "screened", "told_screened"]

MOST_TIMES = 2.0
"""How many times the median client's size, or distance, a sample may have."""
SEEDS = 8
"""The seeds, spread evenly, at which distances are taken."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Screened:
    """`contributions` without the samples that are kept out, and how many those are by client and why (`size`,
    `distance`)."""

    contributions: tuple[Contribution, ...]
    left_out: Mapping[str, Mapping[str, int]]


def screened(plan: Plan, contributions: Sequence[Contribution], target: Target, engine: Engine) -> Screened:
    """The contributions, in the order given, with the local samples that may enter the start set.

    Class by class, and only where at least `FEWEST` clients sent samples of the class: of fewer nothing tells which is
    honest. A statistic that pools classes has no target of a class: there samples are looked at by their size alone.
    """
    kept = [np.ones(len(one.labels), bool) for one in contributions]
    why: list[dict[str, int]] = [{"size": 0, "distance": 0} for _ in contributions]
    sizes = [
        np.sqrt(np.square(one.samples.astype(np.float64)).mean(axis=_beyond(one.samples))) for one in contributions
    ]
    looks = {"size": sizes}
    if not plan.statistic.pooled:
        looks["distance"] = _distances(plan, contributions, target, engine)
    for y in range(len(plan.classes)):
        for name, look in looks.items():
            rows = {k: np.flatnonzero((one.labels == y) & kept[k]) for k, one in enumerate(contributions)}
            found = {k: look[k][own] for k, own in rows.items() if len(own)}
            if len(found) < FEWEST:
                continue
            most = MOST_TIMES * float(np.median([np.median(values) for values in found.values()]))
            for k, values in found.items():
                kept[k][rows[k][values > most]] = False
                why[k][name] += int((values > most).sum())
    return Screened(
        contributions=tuple(
            replace(one, samples=one.samples[own], labels=one.labels[own])
            for one, own in zip(contributions, kept, strict=True)
        ),
        left_out={
            one.client: {name: count for name, count in reasons.items() if count}
            for one, reasons in zip(contributions, why, strict=True)
            if any(reasons.values())
        },
    )


def told_screened(left_out: Mapping[str, Mapping[str, int]]) -> str:
    """One line for people; empty where nothing is left out."""
    if not left_out:
        return ""
    words = {"size": "far out of size", "distance": "far from their class"}
    named = [
        f"{client} {', '.join(f'{count} {words[name]}' for name, count in reasons.items())}"
        for client, reasons in list(left_out.items())[:_MOST_NAMED]
    ]
    others = f" and {len(left_out) - len(named)} more clients" if len(left_out) > len(named) else ""
    return f"local samples kept out of the start set: {'; '.join(named)}{others}"


_MOST_NAMED = 10


def _distances(plan: Plan, contributions: Sequence[Contribution], target: Target, engine: Engine) -> list[np.ndarray]:
    """Per client float64 [samples]: the loss of each sample alone, relative to the target's norm, averaged over seeds;
    0 for a class that no seed covers."""
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    found = [np.zeros(len(one.labels)) for one in contributions]
    seeds = {y: _spread(np.flatnonzero(target.weights[:, y])) for y in range(len(plan.classes))}
    for t in sorted({t for chosen in seeds.values() for t in chosen}):
        encoder = embedder.encoder(plan.encoder_seed(t))
        asked = [y for y, chosen in seeds.items() if t in chosen]
        values = {y: torch.from_numpy(target.values[t, y]) for y in asked}
        for one, distances in zip(contributions, found, strict=True):
            rows = np.flatnonzero(np.isin(one.labels, asked))
            if not len(rows):
                continue
            samples = torch.from_numpy(one.samples[rows]).to(engine.device, engine.sample_dtype)
            embedded = embedder.embed(encoder, plan.sample.expand(samples, plan.tiles)).cpu().double()
            for row, own in zip(rows.tolist(), embedded.split(plan.tiles**2), strict=True):
                y = int(one.labels[row])
                loss = float(plan.statistic.loss(values[y], int(target.drawn[t, y]), own))
                distances[row] += loss / ((float(values[y][0].square().sum()) or 1.0) * len(seeds[y]))
    return found


def _spread(covered: np.ndarray) -> list[int]:
    """At most `SEEDS` of the seeds, evenly from the first to the last."""
    if not len(covered):
        return []
    return covered[np.unique(np.linspace(0, len(covered) - 1, SEEDS).astype(int))].tolist()


def _beyond(samples: np.ndarray) -> tuple[int, ...]:
    return tuple(range(1, samples.ndim))
