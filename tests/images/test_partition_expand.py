"""Partition and expand against a slow bilinear resize written out in loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.errors import ConfigError
from collabdm.images.partition_expand import check_tiles, expand, pack


def bilinear(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one float64 plane, pixel centres at half-integers (align_corners off), no antialiasing."""
    out = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * plane.shape[0] / height - 0.5, 0.0), plane.shape[0] - 1)
            u = min(max((x + 0.5) * plane.shape[1] / width - 0.5, 0.0), plane.shape[1] - 1)
            top, left = math.floor(v), math.floor(u)
            bottom, right = min(top + 1, plane.shape[0] - 1), min(left + 1, plane.shape[1] - 1)
            b, a = v - top, u - left
            upper = (1 - a) * plane[top, left] + a * plane[top, right]
            lower = (1 - a) * plane[bottom, left] + a * plane[bottom, right]
            out[y, x] = (1 - b) * upper + b * lower
    return out


def slow_expand(images: np.ndarray, factor: int) -> np.ndarray:
    _, channels, height, width = images.shape
    rows = [math.floor(i * height / factor + 0.5) for i in range(factor + 1)]
    columns = [math.floor(i * width / factor + 0.5) for i in range(factor + 1)]
    samples = []
    for image in images:
        for r in range(factor):
            for c in range(factor):
                tile = image[:, rows[r] : rows[r + 1], columns[c] : columns[c + 1]]
                samples.append(np.stack([bilinear(tile[k], height, width) for k in range(channels)]))
    return np.stack(samples)


@pytest.mark.parametrize(
    ("shape", "factor"),
    [
        ((2, 3, 8, 8), 2),
        ((1, 1, 28, 28), 3),
        ((2, 1, 9, 9), 2),  # 4.5 rounds up to 5, where Python's round would give 4
        ((1, 2, 11, 14), 2),
        ((1, 1, 13, 17), 3),
        ((1, 1, 23, 22), 5),
        ((3, 1, 7, 7), 1),
    ],
)
def test_expand_equals_the_slow_reference(shape: tuple[int, ...], factor: int) -> None:
    images = np.random.Generator(np.random.Philox(key=1)).normal(size=shape)
    np.testing.assert_allclose(expand(torch.from_numpy(images), factor), slow_expand(images, factor), atol=1e-12)
    single = expand(torch.from_numpy(images).float(), factor)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, slow_expand(images, factor), atol=1e-5)


def test_factor_one_changes_nothing() -> None:
    images = torch.arange(24.0).reshape(2, 1, 3, 4)
    assert torch.equal(expand(images, 1), images)
    assert torch.equal(pack(images, 1), images)


def test_samples_are_image_major_then_rows_then_columns() -> None:
    tiles = torch.arange(12.0).reshape(3, 2, 2)
    images = tiles.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)[:, None]
    samples = expand(images, 2)
    assert torch.equal(samples, torch.arange(12.0)[:, None, None, None].expand(12, 1, 8, 8))


@pytest.mark.parametrize(("side", "factor"), [(8, 2), (9, 2), (13, 3)])
def test_gradient(side: int, factor: int) -> None:
    values = torch.from_numpy(np.random.Generator(np.random.Philox(key=2)).normal(size=(1, 1, side, side)))
    assert torch.autograd.gradcheck(lambda images: expand(images, factor), (values.requires_grad_(),))


def test_every_pixel_gets_its_share_of_the_gradient() -> None:
    # Expansion is linear and, away from tile edges, spreads each stored pixel over factor**2 output pixels.
    images = torch.zeros(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    expand(images, 2).sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad, torch.full_like(images.grad, 4.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(8, 40), st.integers(8, 40), st.integers(1, 5), st.integers(1, 3))
def test_constant_samples_survive_pack_and_expand(n: int, height: int, width: int, factor: int, channels: int) -> None:
    factor = min(factor, min(height, width) // 4)
    values = torch.arange(n * factor**2 * channels, dtype=torch.float64).view(-1, channels, 1, 1)
    samples = values.expand(-1, -1, height, width).contiguous()
    packed = pack(samples, factor)
    assert packed.shape == (n, channels, height, width)
    torch.testing.assert_close(expand(packed, factor), samples)


def test_pack_averages_rather_than_skips_pixels() -> None:
    # One-pixel stripes alias to full contrast under plain subsampling; a real downsample turns them grey.
    stripes = (torch.arange(32) % 2).double().expand(4, 1, 32, 32).contiguous()
    inner = pack(stripes, 2)[0, 0, 4, 3:13]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.13, rtol=0)
    smooth = torch.linspace(0, 1, 32, dtype=torch.float64).expand(4, 1, 32, 32).contiguous()
    assert (expand(pack(smooth, 2), 2) - smooth).abs().max() < 0.05


@pytest.mark.parametrize(
    ("factor", "height", "width"), [(0, 32, 32), (-1, 32, 32), (3, 8, 8), (9, 32, 64), (8, 28, 28)]
)
def test_factors_that_do_not_fit(factor: int, height: int, width: int) -> None:
    with pytest.raises(ConfigError, match=r"tiles: got .*expected 1 to .*fix:"):
        check_tiles(factor, height, width)
    with pytest.raises(ConfigError):
        expand(torch.zeros(1, 1, height, width), factor)


@pytest.mark.parametrize(("factor", "height", "width"), [(1, 2, 2), (2, 8, 8), (7, 28, 28), (8, 32, 64)])
def test_factors_that_fit(factor: int, height: int, width: int) -> None:
    check_tiles(factor, height, width)
    assert len(expand(torch.zeros(1, 1, height, width), factor)) == factor**2


def test_pack_needs_whole_images() -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        pack(torch.zeros(6, 1, 8, 8), 2)
