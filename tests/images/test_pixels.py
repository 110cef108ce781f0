"""Normalisation by hand, and back."""

import warnings

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from collabdm.engine.placing import channels_last
from collabdm.images.pixels import Normalisation, denormalised, normalised

COLOUR = Normalisation(mean=(0.5, 0.25, 0.0), std=(0.5, 0.2, 2.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_are_divided_by_255_and_standardised(dtype: torch.dtype) -> None:
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    shown = normalised(images, COLOUR, device="cpu", dtype=dtype)
    assert shown.dtype == dtype
    for (n, c, y, x), value in np.ndenumerate(images):
        expected = (int(value) / 255 - COLOUR.mean[c]) / COLOUR.std[c]
        assert float(shown[n, c, y, x]) == pytest.approx(expected, abs=1e-6)


def test_floats_are_taken_as_they_are() -> None:
    images = np.full((1, 1, 2, 2), 0.75, np.float32)
    shown = normalised(images, Normalisation(mean=(0.5,), std=(0.5,)), device="cpu", dtype=torch.float32)
    assert (shown == 0.5).all()


def test_denormalised_is_the_inverse_and_does_not_clip() -> None:
    images = np.random.Generator(np.random.Philox(key=3)).random((2, 3, 4, 4)).astype(np.float32)
    shown = normalised(images, COLOUR, device="cpu", dtype=torch.float64)
    np.testing.assert_allclose(denormalised(shown, COLOUR), images, atol=1e-12)
    assert denormalised(torch.full((1, 3, 1, 1), 9.0), COLOUR).flatten().tolist() == pytest.approx([5.0, 2.05, 18.0])


def test_strided_and_read_only_images_work_and_stay_as_they_are() -> None:
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    expected = normalised(images, COLOUR, device="cpu", dtype=torch.float32)
    read_only, strided = images.copy(), np.repeat(images, 2, axis=3)[:, :, :, ::2]
    read_only.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (read_only, strided):
            assert torch.equal(normalised(same, COLOUR, device="cpu", dtype=torch.float32), expected)
    floats = np.full((1, 3, 2, 2), 0.5, np.float32)
    normalised(floats, COLOUR, device="cpu", dtype=torch.float32).add_(1)
    assert (floats == 0.5).all()


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        ((), (), "one mean and one std per channel, got 0 and 0"),
        ((0.5,), (0.5, 0.5), "one mean and one std per channel, got 1 and 2"),
        ((0.5,), (0.0,), "a std must be at least 1e-6, got 0"),
        ((0.5,), (-1.0,), "a std must be at least 1e-6, got -1"),
        ((0.5,), (1e-300,), "a std must be at least 1e-6, got 1e-300"),
        ((0.5, 0.5), (1.0, 1e4), "a std must be at most 1000, got 10000"),
        ((0.5, -1e30), (1.0, 1.0), r"a mean must be from -1000 to 1000, got -1e\+30"),
        ((float("nan"),), (1.0,), "finite"),
        ((0.5,), (float("inf"),), "finite"),
    ],
)
def test_impossible_constants_are_refused(mean: tuple[float, ...], std: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Normalisation(mean=mean, std=std)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_keeps_values_and_makes_convolutions_keep_the_layout(channels: int) -> None:
    images = torch.arange(2.0 * channels * 8 * 8).view(2, channels, 8, 8).requires_grad_()
    placed = channels_last(images)
    assert torch.equal(placed, images)
    out = torch.nn.functional.conv2d(placed, torch.ones(4, channels, 3, 3), padding=1)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not out.is_contiguous()
    (gradient,) = torch.autograd.grad((placed * images.detach()).sum(), images)
    assert torch.equal(gradient, images.detach())
