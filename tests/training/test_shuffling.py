"""Shuffled batches: every sample once a pass, and from any place on as if never left."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collabdm.randomness import Stream
from collabdm.training.shuffling import Batch, Place, batches


def told(batch: Batch) -> tuple[int, list[int], bool, bool]:
    return batch.epoch, batch.rows.tolist(), batch.first, batch.last


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 4))
def test_passes_in_the_stream_s_orders(size: int, batch: int, epochs: int) -> None:
    stream = Stream(5, "order")
    found = list(batches(Stream(5, "order"), size, batch, epochs))
    for epoch in range(epochs):
        own = [one for one in found if one.epoch == epoch]
        assert np.concatenate([one.rows for one in own]).tolist() == stream.permutation(size).tolist()
        assert {len(one.rows) for one in own[:-1]} <= {batch}
        assert [one.first for one in own] == [True] + [False] * (len(own) - 1)
        assert [one.last for one in own] == [False] * (len(own) - 1) + [True]


@given(st.integers(1, 12), st.integers(1, 14), st.integers(1, 3))
def test_any_place_is_gone_on_from(size: int, batch: int, epochs: int) -> None:
    whole = list(batches(Stream(5, "order"), size, batch, epochs))
    for number, one in enumerate(whole):
        place = Place.of(one.after.tensors())
        left = batches(Stream(5, "order"), size, batch, epochs, place)
        assert list(map(told, left)) == list(map(told, whole[number + 1 :]))
