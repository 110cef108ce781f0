"""Canaries: unseen samples with false labels, put in by coin and nothing else changed."""

from collections.abc import Callable

import numpy as np
import pytest

from collabdm.audit.canaries import draw_canaries, included, with_canaries
from collabdm.data import Dataset, Samples, generic_preset
from collabdm.errors import DataError


@pytest.fixture(scope="module")
def data(make_samples: Callable[..., Samples]) -> Dataset:
    train, test = make_samples([40, 30, 20], seed=1), make_samples([15, 15, 15], seed=2)
    return Dataset(
        name="made", train=train, test=test, preset=generic_preset("made", (1, 8, 8), train.classes), columns={}
    )


def halves(data: Dataset) -> dict[str, np.ndarray]:
    return {"small": np.arange(30), "large": np.arange(30, 90)}


def test_they_are_different_test_samples_with_other_labels_at_the_largest_client(data: Dataset) -> None:
    canaries = draw_canaries(data, halves(data), count=20, alone=False, seed=3)
    rows = [
        next(i for i, one in enumerate(data.test.values) if np.array_equal(one, value))
        for value in canaries.samples.values
    ]
    assert len(set(rows)) == len(canaries) == 20
    assert (data.test.labels[rows] != canaries.samples.labels).all()
    assert set(canaries.clients) == {"large"}
    again = draw_canaries(data, halves(data), count=20, alone=False, seed=3)
    assert np.array_equal(again.samples.values, canaries.samples.values)
    # Scores of an interrupted audit are found again by how many there are, whatever was asked for.
    most, more = (draw_canaries(data, halves(data), count=count, alone=False, seed=3) for count in (45, 500))
    assert len(most) == len(more) == len(data.test)
    assert np.array_equal(most.samples.labels, more.samples.labels)
    assert np.array_equal(most.samples.values, more.samples.values)


def test_only_the_chosen_are_put_in(data: Dataset) -> None:
    parts, canaries = halves(data), draw_canaries(data, halves(data), count=20, alone=False, seed=3)
    chosen = included(20, 0, seed=3)
    held = with_canaries(data.train, parts, canaries, chosen)
    assert held["small"].digest() == data.train.take(parts["small"]).digest()
    assert len(held["large"]) == 60 + chosen.sum()
    assert np.array_equal(held["large"].values[60:], canaries.samples.values[chosen])
    assert np.array_equal(held["large"].labels[60:], canaries.samples.labels[chosen])


def test_alone_each_is_the_only_one_of_its_class_at_its_client(data: Dataset) -> None:
    parts, canaries = halves(data), draw_canaries(data, halves(data), count=20, alone=True, seed=3)
    places = list(zip(canaries.clients.tolist(), canaries.samples.labels.tolist(), strict=True))
    # Half of three classes, rounded down, at each of two clients.
    assert len(set(places)) == len(places) == 2
    for chosen, count in ((np.ones(2, bool), 1), (np.zeros(2, bool), 0)):
        held = with_canaries(data.train, parts, canaries, chosen)
        assert [int(held[name].counts()[label]) for name, label in places] == [count, count]
    others = held["small"].counts()
    (lost,) = [label for name, label in places if name == "small"]
    expected = data.train.take(parts["small"]).counts()
    expected[lost] = 0
    assert np.array_equal(others, expected)


def test_coins_are_fair_and_differ_from_round_to_round() -> None:
    tossed = np.stack([included(400, number, seed=7) for number in range(50)])
    assert abs(tossed.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(tossed)[np.triu_indices(50, 1)]).max() < 0.25


def test_data_without_a_place_are_refused(make_samples: Callable[..., Samples], data: Dataset) -> None:
    alone = {"only": np.flatnonzero(data.train.labels == 0)}
    with pytest.raises(DataError, match=r"^places for canaries: got .*; fix: audit a run with more classes"):
        draw_canaries(data, alone, count=5, alone=True, seed=0)
