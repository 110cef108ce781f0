"""Pixels as strangers store them come out the same, or are refused in words that say how to go on."""

from collections.abc import Callable

import numpy as np
import pytest

from collabdm.errors import DataError
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.randomness import Stream
from collabdm.scoring.pixels import fitted, ordered, unit_pixels

COLOUR = Images(
    channels=3, height=8, width=6, normalisation=Normalisation(mean=(0.49, 0.48, 0.45), std=(0.2, 0.21, 0.22))
)
GREY = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.13,), std=(0.31,)))


def levels(shape: tuple[int, ...]) -> np.ndarray:
    """Every level from black to white occurs."""
    drawn = Stream(0, "levels").integers(256, shape).astype(np.uint8)
    drawn.reshape(-1)[:2] = 0, 255
    return drawn


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (lambda p: p, "levels 0..255"),
        (lambda p: p.astype(np.int64), "levels 0..255"),
        (lambda p: p.astype(np.float64), "numbers in 0..255"),
        (lambda p: p / 255, "floats in [0, 1]"),
        (lambda p: p / 127.5 - 1, "floats in [-1, 1]"),
        (lambda p: (p / 255 - _mean()) / _std(), "normalised by the mean and deviation of the data set"),
    ],
)
def test_the_same_pixels_by_any_range(form: Callable[[np.ndarray], np.ndarray], told: str) -> None:
    given = levels((5, 3, 8, 6))
    found, note = unit_pixels("x", form(given), COLOUR, levels="auto")
    shown = found.astype(np.float64) / (255 if found.dtype == np.uint8 else 1)
    np.testing.assert_allclose(shown, given / 255, atol=1e-6)
    assert told in note


def _mean() -> np.ndarray:
    return np.array(COLOUR.normalisation.mean).reshape(3, 1, 1)


def _std() -> np.ndarray:
    return np.array(COLOUR.normalisation.std).reshape(3, 1, 1)


def test_distilled_pixels_may_lie_beyond_black_and_white() -> None:
    given = np.linspace(-0.2, 1.2, 5 * 64, dtype=np.float32).reshape(5, 1, 8, 8)
    found, _ = unit_pixels("x", given, GREY, levels="auto")
    np.testing.assert_array_equal(found, given)
    normalised, told = unit_pixels("x", given * 8 - 3, GREY, levels="auto")
    np.testing.assert_allclose(normalised, (given * 8 - 3) * 0.31 + 0.13, rtol=1e-5, atol=1e-6)
    assert "(0.13 and 0.31)" in told


def test_what_was_said_goes_over_what_would_be_guessed() -> None:
    given = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    found, _ = unit_pixels("x", given, GREY, levels="normalised")
    np.testing.assert_allclose(found, given * 0.31 + 0.13, rtol=1e-6)
    found, _ = unit_pixels("x", given, GREY, levels="signed")
    np.testing.assert_allclose(found, (given + 1) / 2)


@pytest.mark.parametrize(
    ("given", "mentions"),
    [
        (np.full((1, 1, 8, 8), np.nan, np.float32), "NaN or infinity"),
        (np.linspace(0, 3, 64).reshape(1, 1, 8, 8), "floats from 0 to 3; .*; fix: say what they are with --levels"),
        (np.linspace(-0.5, 0.5, 64).reshape(1, 1, 8, 8), "fix: say what they are with --levels"),
        (np.linspace(-128, 127, 64).reshape(1, 1, 8, 8), "fix: say what they are with --levels"),
        (np.arange(64).reshape(1, 1, 8, 8) - 3, "integers from -3 to 60"),
        (np.arange(64).reshape(1, 1, 8, 8) * 1000, "integers from 0 to 63000"),
        (np.ones((1, 1, 8, 8), np.uint8), "integers up to 1"),
        (np.full((1, 1, 8, 8), "a"), "expected numbers"),
        (np.zeros((0, 1, 8, 8), np.float32), "no images"),
    ],
)
def test_numbers_that_say_nothing_are_refused(given: np.ndarray, mentions: str) -> None:
    with pytest.raises(DataError, match=mentions):
        unit_pixels("x", given, GREY, levels="auto")


def test_channels_lie_where_the_data_set_says() -> None:
    given = levels((5, 3, 8, 6))
    last = given.transpose(0, 2, 3, 1)
    for array, notes in ((given, ()), (last, ("channels last",))):
        found, told = ordered("x", array, COLOUR.shape)
        np.testing.assert_array_equal(found, given)
        assert told == notes
    grouped, told = ordered("x", given[:4].reshape(2, 2, 3, 8, 6), COLOUR.shape)
    np.testing.assert_array_equal(grouped, given[:4])
    assert "2 groups" in told[0]
    assert ordered("x", given[:, 0], GREY.shape)[0].shape == (5, 1, 8, 6)
    # Three rows of three columns: only the data set tells which are channels.
    assert ordered("x", np.zeros((2, 3, 5, 3), np.uint8), (3, 5, 3))[0].shape == (2, 3, 5, 3)
    with pytest.raises(DataError, match="ambiguous"):
        ordered("x", np.zeros((2, 3, 9, 3), np.uint8), COLOUR.shape)
    with pytest.raises(DataError, match="a shape"):
        ordered("x", np.zeros((2, 64), np.uint8), GREY.shape)


def test_grey_and_colour() -> None:
    grey = levels((2, 1, 8, 6))
    found, told = fitted("x", grey, COLOUR.shape, resize=False)
    np.testing.assert_array_equal(found, np.repeat(grey, 3, axis=1))
    assert "red, green and blue" in told[0]
    back, told = fitted("x", found, (1, 8, 6), resize=False)
    np.testing.assert_array_equal(back, grey)
    assert "all three channels are the same" in told[0]
    colour = levels((2, 3, 8, 6))
    with pytest.raises(DataError, match="got colour images; expected grey ones"):
        fitted("x", colour, (1, 8, 6), resize=False)
    made, _ = fitted("x", colour, (1, 8, 6), resize=True)
    np.testing.assert_allclose(made[0, 0], colour[0].transpose(1, 2, 0) @ [0.299, 0.587, 0.114], atol=0.5)


def test_another_size_is_refused_or_resized_when_asked() -> None:
    flat = np.full((2, 3, 16, 12), 51, np.uint8)
    with pytest.raises(DataError, match=r"got 16x12 pixels; expected 8x6, .*--resize"):
        fitted("x", flat, COLOUR.shape, resize=False)
    found, told = fitted("x", flat, COLOUR.shape, resize=True)
    np.testing.assert_allclose(found, np.full((2, 3, 8, 6), 0.2), rtol=1e-6)
    assert told == ["16x12 pixels resized to 8x6"]
