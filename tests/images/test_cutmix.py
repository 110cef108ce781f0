"""CutMix against a loop over pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collabdm.images.cutmix import cutmix
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.randomness import Stream

NUMBERS = st.floats(0, 1, exclude_max=True)


def slow(image: np.ndarray, partner: np.ndarray, u: tuple[float, float, float]) -> tuple[np.ndarray, float]:
    """One image [C, H, W]: pixel by pixel, and the share of them that is its own."""
    mixed, own = image.copy(), 0
    _, height, width = image.shape
    corners = []
    for side, centre in ((height, u[1]), (width, u[2])):
        cut = math.floor(side * math.sqrt(1 - u[0]))
        corners.append((math.floor(side * centre) - cut // 2, cut))
    (top, tall), (left, wide) = corners
    for y in range(height):
        for x in range(width):
            if top <= y < top + tall and left <= x < left + wide:
                mixed[:, y, x] = partner[:, y, x]
            else:
                own += 1
    return mixed, own / (height * width)


@given(
    st.tuples(st.integers(1, 2), st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)),
    st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=2, max_size=2),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_as_pixel_by_pixel(
    shape: tuple[int, int, int, int], numbers: list[tuple[float, float, float]], dtype: torch.dtype
) -> None:
    images, partners = (torch.from_numpy(Stream(3, name).uniform(shape, -2, 2)).to(dtype) for name in "ab")
    uniforms = np.array(numbers[: shape[0]])
    mixed, share = cutmix(images, partners, uniforms)
    assert mixed.dtype == share.dtype == dtype
    for i, u in enumerate(uniforms.tolist()):
        expected, own = slow(images[i].numpy(), partners[i].numpy(), (u[0], u[1], u[2]))
        assert np.array_equal(mixed[i].numpy(), expected)
        assert share[i].item() == pytest.approx(own, abs=1e-6)


def test_the_first_number_is_the_share_that_a_whole_rectangle_leaves() -> None:
    images, partners = torch.zeros(3, 1, 100, 50), torch.ones(3, 1, 100, 50)
    _, share = cutmix(images, partners, np.array([[0.0, 0.5, 0.5], [0.51, 0.5, 0.5], [1 - 2**-53, 0.5, 0.5]]))
    assert share.tolist() == pytest.approx([0.0, 0.51, 1.0], abs=1e-6)


def test_images_are_mixed_by_it() -> None:
    sample = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
    images, partners = (torch.from_numpy(Stream(4, name).uniform((5, 1, 8, 8))) for name in "ab")
    uniforms = Stream(4, "mix").uniform((5, 3))
    for found, expected in zip(sample.mix(images, partners, uniforms), cutmix(images, partners, uniforms), strict=True):
        assert torch.equal(found, expected)
