"""Each augmentation against loops over pixels in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collabdm.config import Config
from collabdm.data.presets import PRESETS
from collabdm.images.augment import OPERATIONS
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.modality import Augmentation, draw_augmentation
from collabdm.planning import make_plan
from collabdm.randomness import Stream

SHAPES = ((2, 3, 8, 8), (2, 1, 7, 7), (2, 3, 5, 9))
# What an operation does depends on the images alone, not on the sides that the description gives.
augment = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,))).augment
NUMBERS = [(0.0, 0.0, 0.0), (0.3, 0.8, 0.1), (0.5, 0.5, 0.5), (1 - 2**-53,) * 3]


def pixel(image: np.ndarray, channel: int, y: int, x: int) -> float:
    inside = 0 <= y < image.shape[1] and 0 <= x < image.shape[2]
    return float(image[channel, y, x]) if inside else 0.0


def sampled(image: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Bilinear sampling at matrix @ (x, y), positions in [-1, 1] from edge to edge, zeros outside."""
    channels, height, width = image.shape
    out = np.zeros_like(image)
    for i in range(height):
        for j in range(width):
            x, y = (2 * j + 1) / width - 1, (2 * i + 1) / height - 1
            u, v = matrix[0] * x + matrix[1] * y, matrix[2] * x + matrix[3] * y
            column, row = ((u + 1) * width - 1) / 2, ((v + 1) * height - 1) / 2
            left, top = math.floor(column), math.floor(row)
            a, b = column - left, row - top
            for c in range(channels):
                out[c, i, j] = (1 - b) * (
                    (1 - a) * pixel(image, c, top, left) + a * pixel(image, c, top, left + 1)
                ) + b * ((1 - a) * pixel(image, c, top + 1, left) + a * pixel(image, c, top + 1, left + 1))
    return out


def slow(operation: str, image: np.ndarray, u: tuple[float, float, float]) -> np.ndarray:
    """One image [C, H, W] in float64, one row of uniform numbers."""
    channels, height, width = image.shape
    if operation == "colour":
        bright = image + (u[0] - 0.5)
        saturated = np.zeros_like(image)
        for i in range(height):
            for j in range(width):
                grey = sum(bright[c, i, j] for c in range(channels)) / channels
                for c in range(channels):
                    saturated[c, i, j] = grey + 2 * u[1] * (bright[c, i, j] - grey)
        mean = saturated.mean()
        return mean + (0.5 + u[2]) * (saturated - mean)
    if operation == "flip":
        return image[:, :, ::-1].copy() if u[0] < 0.5 else image
    if operation == "scale":
        low, high = 1 / 1.2, 1.2
        return sampled(image, (low + u[0] * (high - low), 0.0, 0.0, low + u[1] * (high - low)))
    if operation == "rotate":
        angle = math.radians(-15 + 30 * u[0])
        return sampled(image, (math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)))
    out = np.zeros_like(image)
    if operation == "crop":
        pads = [int(side * 0.125 + 0.5) for side in (height, width)]
        down, right = (int(u[axis] * (2 * pads[axis] + 1)) - pads[axis] for axis in (0, 1))
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    out[c, i, j] = pixel(image, c, i + down, j + right)
        return out
    assert operation == "cutout"
    holes = [int(side * 0.5 + 0.5) for side in (height, width)]
    # The middle of the hole may lie anywhere, so that it may hang over the edge.
    starts = [
        int(u[axis] * (side + 1 - holes[axis] % 2)) - holes[axis] // 2 for axis, side in enumerate((height, width))
    ]
    for i in range(height):
        for j in range(width):
            hidden = starts[0] <= i < starts[0] + holes[0] and starts[1] <= j < starts[1] + holes[1]
            for c in range(channels):
                out[c, i, j] = 0.0 if hidden else image[c, i, j]
    return out


def images(shape: tuple[int, ...]) -> np.ndarray:
    return Stream(5, "test images").uniform(shape, -2, 2)


def rows(*numbers: tuple[float, float, float]) -> np.ndarray:
    return np.array(numbers, np.float64)


every = pytest.mark.parametrize("operation", OPERATIONS)


def test_the_operations_are_the_six_that_plans_for_photographs_propose() -> None:
    assert tuple(OPERATIONS) == ("colour", "crop", "cutout", "flip", "scale", "rotate")
    assert Images.operations is OPERATIONS
    proposed = make_plan(Config(), clients=["a"], preset=PRESETS["cifar10"]).augment
    assert proposed == tuple(OPERATIONS)


@every
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_shared_parameters_give_every_sample_the_same_transform(
    operation: str, shape: tuple[int, ...], numbers: tuple[float, float, float]
) -> None:
    batch = images(shape)
    shown = augment(torch.from_numpy(batch), Augmentation(operation=operation, uniforms=rows(numbers)))
    expected = np.stack([slow(operation, image, numbers) for image in batch])
    np.testing.assert_allclose(shown, expected, atol=1e-12)


@every
@pytest.mark.parametrize("shape", SHAPES)
def test_parameters_per_image_equal_one_image_at_a_time(operation: str, shape: tuple[int, ...]) -> None:
    batch = images(shape)
    for first, second in ((NUMBERS[1], NUMBERS[3]), (NUMBERS[0], NUMBERS[2])):
        shown = augment(torch.from_numpy(batch), Augmentation(operation=operation, uniforms=rows(first, second)))
        expected = np.stack([slow(operation, batch[0], first), slow(operation, batch[1], second)])
        np.testing.assert_allclose(shown, expected, atol=1e-12)


@every
@given(st.integers(0, 2**32))
def test_drawn_parameters_follow_the_reference_too(operation: str, seed: int) -> None:
    drawn = draw_augmentation(Stream(seed), [operation])
    assert drawn is not None
    batch = images((1, 3, 6, 6))
    u = (float(drawn.uniforms[0, 0]), float(drawn.uniforms[0, 1]), float(drawn.uniforms[0, 2]))
    np.testing.assert_allclose(augment(torch.from_numpy(batch), drawn)[0], slow(operation, batch[0], u), atol=1e-12)


@every
def test_float32_is_close_to_float64(operation: str) -> None:
    batch = torch.from_numpy(images((4, 3, 16, 16)))
    for seed in range(5):
        drawn = Augmentation(operation=operation, uniforms=Stream(seed).uniform((4, 3)))
        single = augment(batch.float(), drawn)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), augment(batch, drawn), rtol=1e-4, atol=1e-4)


@every
@pytest.mark.parametrize("count", [1, 2])
def test_gradients(operation: str, count: int) -> None:
    uniforms = rows((0.31, 0.77, 0.12), (0.83, 0.23, 0.64))[:count]
    batch = torch.from_numpy(images((2, 2, 4, 4))).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: augment(x, Augmentation(operation=operation, uniforms=uniforms)), (batch,)
    )


def test_none_leaves_the_images_as_they_are() -> None:
    batch = torch.from_numpy(images((2, 3, 4, 4)))
    assert augment(batch, None) is batch
    assert draw_augmentation(Stream(1), ()) is None


def test_the_extremes_of_each_operation() -> None:
    image = torch.ones(1, 3, 32, 32, dtype=torch.float64)
    almost = 1 - 2**-53

    def shown(operation: str, *numbers: float) -> torch.Tensor:
        return augment(image, Augmentation(operation=operation, uniforms=rows((numbers[0], numbers[1], numbers[2]))))

    assert shown("colour", 0, 0.5, 0.5).mean() == pytest.approx(0.5)
    assert shown("colour", almost, 0.5, 0.5).mean() == pytest.approx(1.5)
    # The padding is an eighth of the side, so at the extremes four rows and columns come from outside.
    assert shown("crop", 0, almost, 0).sum() == 3 * 28 * 28
    assert shown("crop", 0.5, 0.5, 0).sum() == 3 * 32 * 32
    # A hole of half the side; in a corner a quarter of it is left.
    assert shown("cutout", 0.5, 0.5, 0).sum() == 3 * (32 * 32 - 16 * 16)
    assert shown("cutout", 0, almost, 0).sum() == 3 * (32 * 32 - 8 * 8)
    # A factor above 1 reads beyond the edges, so that the image shrinks in a border of zeros; one below does not.
    assert shown("scale", almost, almost, 0).sum() == pytest.approx(3 * (32 / 1.2) ** 2, rel=0.01)
    assert shown("scale", 0, 0, 0).sum() == pytest.approx(3 * 32 * 32)


def test_operations_are_drawn_uniformly_and_reproducibly() -> None:
    drawn = [draw_augmentation(Stream(seed, "augment"), tuple(OPERATIONS)) for seed in range(3000)]
    names = [one.operation for one in drawn if one is not None]
    counts = np.array([names.count(operation) for operation in tuple(OPERATIONS)])
    assert counts.sum() == 3000
    assert np.abs(counts - 500).max() < 90  # binomial, standard deviation 20
    again = draw_augmentation(Stream(11, "augment"), tuple(OPERATIONS), count=4)
    first = draw_augmentation(Stream(11, "augment"), tuple(OPERATIONS), count=1)
    assert again is not None
    assert first is not None
    assert again.operation == first.operation == names[11]
    assert again.uniforms.shape == (4, 3)
    assert again.uniforms[0].tolist() == first.uniforms[0].tolist()
