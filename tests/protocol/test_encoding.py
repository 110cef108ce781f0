"""Encodings of floats: exact, or within half precision, and never infinite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from collabdm.protocol.encoding import ENCODINGS

values = arrays(np.float32, 8, elements=st.floats(-(2.0**100), 2.0**100, width=32))


@pytest.mark.parametrize("name", ENCODINGS)
@given(values)
def test_the_dtype_is_the_declared_one_and_finite_stays_finite(name: str, given_values: np.ndarray) -> None:
    encoded = ENCODINGS[name].encode(given_values)
    assert encoded.dtype == ENCODINGS[name].dtype
    assert np.isfinite(encoded).all()


@given(values)
def test_none_is_exact(given_values: np.ndarray) -> None:
    assert ENCODINGS["none"].encode(given_values).tobytes() == given_values.tobytes()


@given(values)
def test_fp16_is_within_half_a_unit_in_the_last_place_or_clipped(given_values: np.ndarray) -> None:
    decoded = ENCODINGS["fp16"].encode(given_values).astype(np.float64)
    exact = np.clip(given_values.astype(np.float64), -65504, 65504)
    assert (np.abs(decoded - exact) <= np.maximum(np.abs(exact) * 2.0**-11, 2.0**-25)).all()


def test_fp16_does_not_hide_a_nan() -> None:
    assert np.isnan(ENCODINGS["fp16"].encode(np.array([np.nan], np.float32))).all()
