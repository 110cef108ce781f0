"""Canaries: samples with false labels, which a model believes only if it, or what it was made from, has seen them.

They are test samples, which nobody holds, so that none is in the training data by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from collabdm.data import Dataset, Samples
from collabdm.errors import DataError, explain
from collabdm.randomness import Stream

__all__ = ["Canaries", "draw_canaries", "included", "with_canaries"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Canaries:
    """`samples`: with their false labels, of the same classes as the data; `clients`: [m], who may get each.

    `alone`: each is the only sample of its class at its client, who gives up those of its own.
    """

    samples: Samples
    clients: np.ndarray
    alone: bool

    def __len__(self) -> int:
        return len(self.samples)


def draw_canaries(dataset: Dataset, parts: Mapping[str, np.ndarray], *, count: int, alone: bool, seed: int) -> Canaries:
    """At most `count` canaries, of different test samples; `parts`: indices of the training samples by client.

    All go to the client that holds most, with labels of classes of which it holds two samples or more, so that they are
    left out for no other reason. With `alone` each has a client and a class to itself: no client loses more than half
    of its classes by that. Raises `DataError` where there is no place for any.
    """
    # Before anything is drawn: what follows is the same for every count that is cut to this.
    count = min(count, len(dataset.test))
    stream, classes = Stream(seed, "canaries"), len(dataset.train.classes)
    table = {name: dataset.train.take(rows).counts() for name, rows in parts.items()}
    places = _own_places(table, stream) if alone else _shared_places(table, count, stream)
    places = places[:count]
    if not places or classes < 2:
        got, fix = f"{classes} classes at {len(table)} clients", "audit a run with more classes at a client"
        raise DataError(explain("places for canaries", got=got, expected="at least one", fix=fix))
    labels = np.array([label for _, label in places], np.int64)
    rows = _others(dataset.test.labels, labels, stream)
    samples = replace(dataset.test.take(rows), labels=labels, classes=dataset.train.classes)
    return Canaries(samples=samples, clients=np.array([name for name, _ in places]), alone=alone)


def included(count: int, number: int, *, seed: int) -> np.ndarray:
    """Which of `count` canaries are in round `number`, bool [count]: a fair coin for each, as the proofs ask."""
    return Stream(seed, "coins", number).uniform(count) < 0.5


def with_canaries(
    train: Samples, parts: Mapping[str, np.ndarray], canaries: Canaries, chosen: np.ndarray
) -> dict[str, Samples]:
    """What each client holds when the `chosen` canaries, bool [m], are put in."""
    held = {}
    for name, rows in parts.items():
        mine = canaries.clients == name
        if canaries.alone:
            rows = rows[~np.isin(train.labels[rows], canaries.samples.labels[mine])]
        own, put = train.take(rows), canaries.samples.take(np.flatnonzero(mine & chosen))
        held[name] = replace(
            own,
            values=np.concatenate([own.values, put.values.astype(own.values.dtype, copy=False)]),
            labels=np.concatenate([own.labels, put.labels]),
        )
    return held


def _shared_places(table: Mapping[str, np.ndarray], count: int, stream: Stream) -> list[tuple[str, int]]:
    largest = max(sorted(table), key=lambda name: int(table[name].sum()))
    held = np.flatnonzero(table[largest] >= 2)
    if not len(held):
        return []
    return [(largest, int(held[choice])) for choice in stream.integers(len(held), count)]


def _own_places(table: Mapping[str, np.ndarray], stream: Stream) -> list[tuple[str, int]]:
    places = []
    for name in sorted(table):
        held = np.flatnonzero(table[name])
        places += [(name, int(held[choice])) for choice in stream.choose(len(held), len(held) // 2)]
    return [places[index] for index in stream.permutation(len(places))]


def _others(truth: np.ndarray, labels: np.ndarray, stream: Stream) -> np.ndarray:
    """For each of `labels` a row of its own among the test samples, whose true label is another where that can be."""
    order, taken = stream.permutation(len(truth)).tolist(), []
    for label in labels:
        place = next((i for i, row in enumerate(order) if truth[row] != label), 0)
        taken.append(order.pop(place))
    return np.array(taken, np.int64)
