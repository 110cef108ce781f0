"""The range that 8-bit images state: what levels mean, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data.stated_range import KEY, ORDINARY, StatedRange
from collabdm.errors import DataError
from collabdm.randomness import Stream


def pixels_of(channels: int, low: float, high: float) -> np.ndarray:
    return Stream(0, "pixels").uniform((6, channels, 5, 7), low, high)


def test_pixels_of_photographs_keep_the_usual_range() -> None:
    for low, high in ((0.0, 1.0), (0.2, 0.7), (-1e-7, 1 + 1e-7)):
        assert StatedRange.of(pixels_of(1, low, high)) == ORDINARY


def test_the_range_is_of_each_channel_and_holds_black_and_white() -> None:
    pixels = np.concatenate([pixels_of(1, -2, 0.5), pixels_of(1, 0, 1), pixels_of(1, 0.5, 4)], axis=1)
    stated = StatedRange.of(pixels)
    assert stated.low == (pixels[:, 0].min(), 0.0, 0.0)
    assert stated.high == (1.0, 1.0, pixels[:, 2].max())


def test_a_runaway_pixel_is_clipped_and_leaves_the_levels_to_the_others() -> None:
    pixels = Stream(0, "pixels").uniform((20, 1, 32, 32), -1, 2)
    pixels[3, 0, 4, 5] = 1000
    stated = StatedRange.of(pixels)
    assert stated.high[0] < 2
    assert stated.levels(pixels)[3, 0, 4, 5] == 255


@given(low=st.floats(-50, 0), high=st.floats(1, 50), channels=st.sampled_from([1, 3]))
def test_levels_and_back_is_within_half_a_level(low: float, high: float, channels: int) -> None:
    stated = StatedRange(low=(low,) * channels, high=(high,) * channels)
    pixels = pixels_of(channels, low, high)
    back = stated.pixels(stated.levels(pixels), "image")
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, pixels, atol=0.501 * (high - low) / 255)
    assert StatedRange.read({KEY: stated.text()}, "image") == (None if stated.ordinary else stated)


def test_ends_are_the_stated_pixels() -> None:
    stated = StatedRange(low=(-1.5, 0.0, 0.25), high=(2.0, 1.0, 3.0))
    ends = np.stack([np.zeros((3, 1, 1), np.uint8), np.full((3, 1, 1), 255, np.uint8)])
    np.testing.assert_allclose(stated.pixels(ends, "image")[:, :, 0, 0], [stated.low, stated.high])


def test_an_image_that_states_none_has_none() -> None:
    assert StatedRange.read({"dpi": (72, 72)}, "image") is None


HOSTILE = [
    "",
    "null",
    "[]",
    "{}",
    '{"low": [0]}',
    '{"low": [1], "high": [0]}',
    '{"low": [0], "high": [1, 2]}',
    '{"low": [0, 0, 0, 0], "high": [1, 1, 1, 1]}',
    '{"low": [], "high": []}',
    '{"low": [NaN], "high": [1]}',
    '{"low": [0], "high": [1e300]}',
    '{"low": [0], "high": [1], "more": 1}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_range_that_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(DataError, match=r"^image of x: got a range that is none .*; fix: ") as raised:
        StatedRange.read({KEY: text}, "image of x")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_range_of_other_channels_is_refused() -> None:
    with pytest.raises(DataError, match="image of x: got 1 channels; expected one for 3"):
        StatedRange(low=(0.0,) * 3, high=(2.0,) * 3).pixels(np.zeros((1, 2, 2), np.uint8), "image of x")
    grey = StatedRange(low=(0.0,), high=(2.0,)).pixels(np.full((3, 2, 2), 255, np.uint8), "image of x")
    assert (grey == 2).all()
