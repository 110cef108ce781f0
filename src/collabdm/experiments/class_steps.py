"""Classes that come in steps: their order, the data of some classes alone, and how much is forgotten."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from collabdm.data import Dataset, Samples
from collabdm.errors import ConfigError, explain
from collabdm.randomness import Stream

__all__ = ["Steps", "class_steps", "forgetting", "of_classes", "share_found"]

Steps = Sequence[Sequence[int]]
"""The classes that come at each step."""


def class_steps(classes: int, steps: int, stream: Stream) -> Steps:
    """The classes of each step in a random order, each class once; where they do not divide evenly, earlier steps have
    one more.

    Raises `ConfigError` for fewer than two steps (nothing could be forgotten) or more steps than classes.
    """
    if not 2 <= steps <= classes:
        expected = f"2 to {classes}, the classes of the data"
        raise ConfigError(explain("steps in which classes come", got=steps, expected=expected, fix="take other data"))
    return tuple(tuple(part.tolist()) for part in np.array_split(stream.permutation(classes), steps))


def of_classes(dataset: Dataset, classes: Sequence[int]) -> Dataset:
    """The data of some classes alone; class `classes[i]` is class i there, by its own name."""
    kept = np.flatnonzero(np.isin(dataset.train.labels, classes))
    names = tuple(dataset.train.classes[y] for y in classes)
    return replace(
        dataset,
        train=_renumbered(dataset.train.take(kept), classes, names),
        test=_renumbered(dataset.test.take(np.flatnonzero(np.isin(dataset.test.labels, classes))), classes, names),
        preset=replace(dataset.preset, classes=names),
        columns={name: values[kept] for name, values in dataset.columns.items()},
    )


def share_found(per_class: Sequence[float | None], counts: Sequence[int], classes: Sequence[int]) -> float:
    """Of the test samples of some classes, the share that was found: `per_class` weighted by the `counts` tested."""
    tested = [(per_class[y], counts[y]) for y in classes]
    right = sum(share * count for share, count in tested if share is not None)
    return right / sum(count for _, count in tested)


def forgetting(accuracy: Sequence[Sequence[float]]) -> float:
    """How much accuracy on a step's classes falls until the end, as a mean over all steps but the last, which had no
    time to be forgotten. Below 0 where it rises.

    `accuracy[t][s]`: after step t on the classes of step s, for s up to t. Of step s it is the best accuracy before the
    last step, less that after it (Chaudhry et al. 2018).
    """
    last = len(accuracy) - 1
    return statistics.fmean(max(accuracy[t][s] for t in range(s, last)) - accuracy[last][s] for s in range(last))


def _renumbered(samples: Samples, classes: Sequence[int], names: tuple[str, ...]) -> Samples:
    place: Mapping[int, int] = {y: i for i, y in enumerate(classes)}
    labels = np.array([place[y] for y in samples.labels.tolist()], dtype=np.int64)
    return replace(samples, labels=labels, classes=names)
