"""Series as networks see them: scale, gaps and length, against known values and by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.randomness import Stream
from collabdm.series.fitting import Fit, Found, found_in, own_lengths, prepared

NAN = np.nan


def fit(length: int, how: str = "hold", standardise: str = "declared", offset: float = 0.0, scale: float = 1.0) -> Fit:
    return Fit(length=length, how=how, standardise=standardise, offset=np.array([offset]), scale=np.array([scale]))


def one(*values: float) -> np.ndarray:
    return np.array([[values]], dtype=np.float32)


@pytest.mark.parametrize(
    ("how", "length", "given", "expected"),
    [
        ("hold", 5, (1, 2, 4), [1, 2, 4, 4, 4]),
        ("zero", 5, (1, 2, 4), [1, 2, 4, 0, 0]),
        ("resample", 5, (1, 2, 4), [1, 1.5, 2, 3, 4]),
        ("hold", 2, (1, 2, 4), [1, 2]),
        ("zero", 2, (1, 2, 4), [1, 2]),
        # Each of two steps stands for two: their means.
        ("resample", 2, (1, 3, 5, 9), [2, 7]),
        ("resample", 2, (1, 3, 5), [(1 + 1.5) / 1.5, (1.5 + 5) / 1.5]),
        ("resample", 3, (7,), [7, 7, 7]),
        ("hold", 4, (1, NAN, 3, NAN), [1, 2, 3, 3]),
        ("hold", 4, (NAN, 1, NAN, NAN, 4), [1, 1, 2, 3]),
    ],
)
def test_a_series_comes_to_its_length(how: str, length: int, given: tuple[float, ...], expected: list[float]) -> None:
    out = prepared(one(*given), fit(length, how))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0, 0], expected, rtol=1e-6)


def test_series_of_several_lengths_are_each_as_if_alone() -> None:
    values = np.full((4, 2, 9), NAN, np.float32)
    drawn = Stream(1, "series").uniform((4, 2, 9), -3, 5)
    for row, length in enumerate((9, 5, 1, 7)):
        values[row, :, :length] = drawn[row, :, :length]
    assert own_lengths(values).tolist() == [9, 5, 1, 7]
    for how in ("hold", "zero", "resample"):
        for standardise in ("sample", "channel"):
            asked = fit(6, how, standardise)
            together = prepared(values, asked)
            for row, length in enumerate((9, 5, 1, 7)):
                np.testing.assert_array_equal(together[row], prepared(values[row : row + 1, :, :length], asked)[0])


@given(shift=st.floats(-100, 100), scale=st.floats(0.01, 100), standardise=st.sampled_from(["sample", "channel"]))
def test_what_is_standardised_by_itself_has_no_size(shift: float, scale: float, standardise: str) -> None:
    values = Stream(2, "series").uniform((3, 2, 40), -1, 1).astype(np.float32)
    out = prepared(values, fit(40, standardise=standardise))
    axes = (1, 2) if standardise == "sample" else (2,)
    np.testing.assert_allclose(out.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=axes), 1, atol=1e-5)
    moved = (values.astype(np.float64) * scale + shift).astype(np.float32)
    np.testing.assert_allclose(prepared(moved, fit(40, standardise=standardise)), out, atol=2e-2)


def test_standardised_together_channels_keep_their_proportion() -> None:
    values = np.stack([np.sin(np.arange(30.0)), 10 * np.sin(np.arange(30.0))])[None].astype(np.float32)
    both = prepared(values, fit(30, standardise="sample"))[0]
    assert both[1].std() / both[0].std() == pytest.approx(10, rel=1e-4)
    alone = prepared(values, fit(30, standardise="channel"))[0]
    np.testing.assert_allclose(alone[0], alone[1], atol=1e-5)


def test_what_does_not_move_is_zero_and_not_noise() -> None:
    for value in (0.0, 7.3, -1e20, 1e-20):
        for standardise in ("sample", "channel"):
            assert not prepared(np.full((1, 2, 8), value, np.float32), fit(8, standardise=standardise)).any()


def test_a_small_series_is_as_good_as_a_large_one() -> None:
    small = Stream(3, "series").uniform((1, 1, 20), -1e-12, 1e-12).astype(np.float32)
    assert prepared(small, fit(20, standardise="sample")).std() == pytest.approx(1, rel=1e-4)


def test_gaps_do_not_change_the_scale_and_an_empty_channel_is_its_mean() -> None:
    values = np.array([[[1, NAN, 3, 5], [NAN] * 4]], np.float32)
    out = prepared(values, fit(4, standardise="channel"))[0]
    mean, spread = 3.0, np.std([1, 3, 5])
    np.testing.assert_allclose(out[0], (np.array([1, 2, 3, 5]) - mean) / spread, rtol=1e-6)
    assert not out[1].any()


def test_what_has_to_be_done_is_counted() -> None:
    values = np.array(
        [[[1, 2, 3, 4], [1, 2, 3, 4]], [[1, NAN, 3, NAN], [1, 2, 3, NAN]], [[1, 2, 3, 4], [NAN] * 4]], np.float32
    )
    assert found_in(values, 4) == Found(shorter=1, longer=0, gaps=2, empty_channels=1)
    assert found_in(values, 3) == Found(shorter=0, longer=2, gaps=2, empty_channels=1)
