"""The grid of architecture search in the distillation literature: 720 ConvNets, and fair samples of them."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from collabdm.errors import ConfigError
from collabdm.networks import ClassifierSpec, build_network
from collabdm.planning import gigaflop
from collabdm.randomness import Stream

__all__ = ["FACTORS", "GRID", "buildable", "cheap", "stratified"]

FACTORS: dict[str, tuple[int | str, ...]] = {
    "width": (32, 64, 128, 256),
    "depth": (1, 2, 3, 4),
    "activation": ("sigmoid", "relu", "leaky-relu"),
    "norm": ("none", "batch", "layer", "instance", "group"),
    "pooling": ("none", "max", "avg"),
}
"""What the networks differ in, and the values of each factor."""

GRID: tuple[ClassifierSpec, ...] = tuple(
    ClassifierSpec.model_validate({"name": "convnet", **dict(zip(FACTORS, values, strict=True))})
    for values in product(*FACTORS.values())
)
"""Every combination, the last factor first."""


def buildable(specs: Sequence[ClassifierSpec], shape: tuple[int, ...]) -> list[ClassifierSpec]:
    """Those that exist for samples of a shape (C, H, W): pooling halves an image at most to a pixel."""
    found = []
    for spec in specs:
        try:
            build_network(spec, shape, classes=2)
        except ConfigError:
            continue
        found.append(spec)
    return found


def cheap(specs: Sequence[ClassifierSpec], shape: tuple[int, ...], most: float) -> list[ClassifierSpec]:
    """Those of at most so many 10^9 operations forward for one sample of a shape (C, H, W)."""
    # Norm and activation are no operations by that count, so networks that differ only in them are counted once.
    return [
        spec
        for spec in specs
        if gigaflop(spec.model_copy(update={"norm": "none", "activation": "relu"}), shape, 2) <= most
    ]


def stratified(specs: Sequence[ClassifierSpec], count: int, stream: Stream) -> list[ClassifierSpec]:
    """`count` of the networks, in their order, that have the values of every factor which are there as evenly as they
    can; all where they are no more than that.

    One after another is taken: of those whose values were taken least so far, counted by factor as a share of what even
    would be, the one that comes first in an order that the stream draws.
    """
    if count >= len(specs):
        return list(specs)
    columns = [np.unique([str(getattr(spec, name)) for spec in specs], return_inverse=True) for name in FACTORS]
    values = np.stack([which.reshape(-1) for _, which in columns], axis=1)
    even = np.array([len(found) for found, _ in columns])
    place = np.argsort(stream.permutation(len(specs)))
    taken = np.zeros((len(FACTORS), int(even.max())))
    chosen: list[int] = []
    left = np.ones(len(specs), bool)
    for _ in range(count):
        crowded = (taken[np.arange(len(FACTORS)), values] * even).sum(axis=1)
        crowded[~left] = np.inf
        best = np.flatnonzero(crowded == crowded.min())
        one = int(best[place[best].argmin()])
        left[one] = False
        taken[np.arange(len(FACTORS)), values[one]] += 1
        chosen.append(one)
    return [specs[one] for one in sorted(chosen)]
