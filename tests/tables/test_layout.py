"""Rows as networks see them, against values written by hand, and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data.tabular.column import Column
from collabdm.tables.layout import Layout

COLUMNS = (
    Column(name="age", kind="numeric", low=0, high=100, integer=True, missing=True),
    Column(name="bytes", kind="numeric", transform="asinh", scale=10, low=0, high=1e6),
    Column(name="rate", kind="numeric", transform="asinh", scale=2),
    Column(name="service", kind="categorical", levels=("dns", "http", "ftp"), missing=True),
    Column(name="state", kind="categorical", levels=("a", "b")),
)
LAYOUT = Layout.of(COLUMNS)
LEVEL = math.sqrt(0.5)


def test_a_row_is_seen_as_declared() -> None:
    assert LAYOUT.width == 2 + 1 + 1 + 4 + 2
    rows = np.array([[75, 0, 2, 1, 0], [math.nan, 1e6, -2, math.nan, -1], [200, 5e9, 0, 2, 1]], dtype=np.float32)
    one = math.asinh(1.0) / 4
    expected = [
        [0.5, 0, -1, one, 0, LEVEL, 0, 0, LEVEL, 0],
        # Missing: the middle and the indicator; an unknown level: none of them, but not missing either.
        [0, 1, 1, -one, 0, 0, 0, 1, 0, 0],
        # Beyond the declared range: its end.
        [1, 0, 1, 0, 0, 0, LEVEL, 0, 0, LEVEL],
    ]
    np.testing.assert_allclose(LAYOUT.encoded(rows), expected, atol=1e-6)


def test_two_levels_are_as_far_apart_as_numbers_half_a_range_apart() -> None:
    seen = LAYOUT.encoded(np.array([[0, 0, 0, 0, 0], [50, 0, 0, 0, 0], [0, 0, 0, 2, 0]], dtype=np.float32))
    assert np.linalg.norm(seen[0] - seen[1]) == pytest.approx(1)
    assert np.linalg.norm(seen[0] - seen[2]) == pytest.approx(1)


def test_what_is_between_is_rounded() -> None:
    seen = np.array([[0.2051, 0.4, 3.0, 0.1, 0.2, 0.6, 0.5, 0.3, -0.1, -0.2], [0.9, 0.6, -9, 40, 1, 0, 0, 0.7, 0, 0]])
    found = LAYOUT.decoded(seen)
    assert found[0, 0] == 60  # 60.255, whole
    assert found[0, 1] == pytest.approx(1e6)
    assert found[0, 2] == pytest.approx(2 * math.sinh(0.4))
    assert found[0, 3:].tolist() == [1, 0]
    assert math.isnan(found[1, 0])
    assert math.isnan(found[1, 3])
    assert found[1, 1] == 0
    assert found[1, 2] == pytest.approx(2 * math.sinh(16))


@given(
    st.tuples(
        st.one_of(st.just(math.nan), st.integers(0, 100).map(float)),
        st.floats(0, 1e6),
        st.floats(-1e5, 1e5),
        st.sampled_from([0.0, 1.0, 2.0, math.nan]),
        st.sampled_from([0.0, 1.0]),
    )
)
def test_what_could_be_a_row_comes_back(row: tuple[float, ...]) -> None:
    rows = np.array([row])
    np.testing.assert_allclose(LAYOUT.decoded(LAYOUT.encoded(rows)), rows, rtol=1e-9, atol=1e-7)
