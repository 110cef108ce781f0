"""Sums as integers: any split adds up, and what is read is what was written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.checking import Checker
from collabdm.errors import ContributionError
from collabdm.protocol.sum_vector import SumLayout, added_sums, packed_sums, unpacked_sums, whole_sums

LAYOUT = SumLayout(
    classes=2,
    seeds=1,
    width=2,
    features=2,
    weights=dict.fromkeys(("counts", "means", "features", "gram"), 1.0),
    step=0.25,
)


def test_where_the_parts_are() -> None:
    assert LAYOUT.slices == {
        "counts": slice(0, 2),
        "means": slice(2, 6),
        "features": slice(6, 10),
        "gram": slice(10, 13),
    }
    assert LAYOUT.size == 13


@given(values=st.lists(st.integers(-(2**22), 2**22), min_size=13, max_size=13))
def test_what_is_packed_is_unpacked(values: list[int]) -> None:
    vector = np.array(values) * LAYOUT.step / 2
    whole = whole_sums(vector, LAYOUT)
    packed = packed_sums(whole)
    assert (packed.dtype, packed.shape) == (np.uint8, (13, 3))
    assert np.array_equal(unpacked_sums(packed, LAYOUT, Checker("it")), whole)
    np.testing.assert_allclose(added_sums([whole], LAYOUT), vector, atol=LAYOUT.step / 2)


@given(seed=st.integers(0, 1000), sites=st.integers(1, 9))
def test_integers_add_up_to_the_sum_whatever_lies_between(seed: int, sites: int) -> None:
    rng = np.random.default_rng(seed)
    parts = rng.integers(-1000, 1000, (sites, 13)) * LAYOUT.step
    # Modulo 2^24, a mask that is taken off again may be anything.
    masks = rng.integers(0, 2**24, (sites, 13))
    masks[-1] = (-masks[:-1].sum(axis=0)) % 2**24
    masked = [(whole_sums(part, LAYOUT) + mask) % 2**24 for part, mask in zip(parts, masks, strict=True)]
    assert np.array_equal(added_sums(masked, LAYOUT), parts.sum(axis=0))


@pytest.mark.parametrize(
    "found", [np.zeros((12, 3), np.uint8), np.zeros((13, 4), np.uint8), np.zeros((13, 3), np.int8), np.zeros(39)]
)
def test_another_form_is_refused(found: np.ndarray) -> None:
    with pytest.raises(ContributionError, match="it: got sums"):
        unpacked_sums(found, LAYOUT, Checker("it"))
