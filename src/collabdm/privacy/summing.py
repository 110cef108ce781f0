"""What one sample adds to the sums of a plan with a promise: a vector that is never longer than one."""

import numpy as np
import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.matching.embedding import embedder_for
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan, acceptance, feature_parameters
from collabdm.protocol.sum_vector import SumLayout, sum_layout

__all__ = ["bounded_sums", "shortened", "unit_weights"]

_BLOCK = 1024


def unit_weights(groups: np.ndarray | None, count: int) -> np.ndarray:
    """How much each of `count` samples counts, float64: all that belong to one group count as one sample together.

    The mean of vectors that are no longer than one is not longer either, so neither is what a group adds.
    """
    if groups is None:
        return np.ones(count)
    _, owner, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / sizes[owner]


def bounded_sums(
    plan: Plan,
    samples: Samples,
    *,
    engine: Engine,
    groups: np.ndarray | None = None,
    client: str | None = None,
    report: Report = silent,
) -> np.ndarray:
    """The sum over all `samples` of their vectors, float64, laid out as `sum_layout` says. Nothing is drawn at random.

    `groups`: [n], to whom each sample belongs, where the plan protects groups. Adding or removing one sample, or one
    group, moves the sum by at most one in Euclidean length.
    """
    layout = sum_layout(plan, acceptance(plan))
    weights = unit_weights(groups, len(samples))
    total = np.zeros(layout.size)
    total[layout.slices["counts"]] = layout.weights["counts"] * np.bincount(
        samples.labels, weights, minlength=layout.classes
    )
    for t in range(layout.seeds):
        found = _means(plan, samples, weights, t, layout, engine)
        first = layout.slices["means"].start + t * found.size
        total[first : first + found.size] = layout.weights["means"] * found.ravel()
        report(Event(stage="statistics", client=client, done=t + 1, total=layout.seeds))
    if plan.features is not None:
        _add_features(plan, samples, weights, layout, engine, total)
        report(Event(stage="gram", client=client, done=1, total=1))
    return total


def shortened(vectors: Tensor) -> Tensor:
    """Rows [n, d], none longer than one: those that are not keep their bits."""
    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min(1)


def _means(plan: Plan, samples: Samples, weights: np.ndarray, t: int, layout: SumLayout, engine: Engine) -> np.ndarray:
    """The sums of the statistic over the samples of each class: float64 [classes, d]."""
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    encoder, (term,) = embedder.encoder(plan.encoder_seed(t)), plan.statistic.terms
    sums = np.zeros((layout.classes, layout.width))
    for y in np.unique(samples.labels).tolist():
        rows, augmentation = samples.of_class(y), plan.augmentation(t, y)
        for first in range(0, len(rows), _BLOCK):
            taken = rows[first : first + _BLOCK]
            placed = plan.sample.tensors(samples.values[taken], device=engine.device, dtype=engine.sample_dtype)
            embeddings = embedder.embed(encoder, plan.sample.augment(placed, augmentation))
            vectors = shortened(term.of(embeddings).flatten(1).double().cpu())
            sums[y] += weights[taken] @ vectors.numpy()
    return sums


def _add_features(
    plan: Plan, samples: Samples, weights: np.ndarray, layout: SumLayout, engine: Engine, total: np.ndarray
) -> None:
    assert plan.features is not None
    embedder = embedder_for(plan.features, plan.sample.shape, engine)
    parameters, d = embedder.placed(feature_parameters(plan)), layout.features
    first, second = np.zeros((layout.classes, d)), np.zeros((d, d))
    for start in range(0, len(samples), _BLOCK):
        block = slice(start, start + _BLOCK)
        shown = plan.sample.tensors(samples.values[block], device=engine.device, dtype=engine.sample_dtype)
        views = plan.sample.views(shown, embedder.network.changed_by(plan.augment))
        for view in views:
            features = shortened(embedder.embed(parameters, view).double().cpu() / d**0.5).numpy()
            share = weights[block, None] / len(views)
            np.add.at(first, samples.labels[block], share * features)
            second += (share * features).T @ features
    upper = np.triu_indices(d)
    off = np.where(upper[0] == upper[1], 1.0, 2.0**0.5)
    total[layout.slices["features"]] = layout.weights["features"] * first.ravel()
    total[layout.slices["gram"]] = layout.weights["gram"] * off * second[upper]
