"""Classes of which a site holds too few samples to send anything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data import Samples
from collabdm.privacy import enough_held, few_text, too_few


def _samples(labels: list[int]) -> Samples:
    values = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Samples(values=values, labels=np.array(labels, np.int64), classes=("a", "b", "c"))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(1, 5))
def test_the_samples_of_large_enough_classes_in_their_order(labels: list[int], least: int) -> None:
    samples, counts = _samples(labels), [labels.count(y) for y in range(3)]
    wanted = [i for i, y in enumerate(labels) if counts[y] >= least]
    assert enough_held(samples, least).values.ravel().tolist() == wanted
    few = {name: count for name, count in zip("abc", counts, strict=True) if 0 < count < least}
    assert too_few(samples, least) == few


def test_what_leaves_nothing_out_is_the_same_object() -> None:
    samples = _samples([0, 1, 1])
    assert enough_held(samples, 1) is samples
    assert len(enough_held(samples, 2)) == 2


@pytest.mark.parametrize(
    ("few", "text"),
    [
        ({}, ""),
        ({"cat": 1, "dog": 2}, "cat (1), dog (2)"),
        ({str(y): 1 for y in range(14)}, ", ".join(f"{y} (1)" for y in range(12)) + " and 2 more"),
    ],
)
def test_they_are_named_with_their_counts(few: dict[str, int], text: str) -> None:
    assert few_text(few) == text
