"""Partition and expand: one stored image acts as `factor * factor` training samples (paper, section 4.3).

Each stored image is cut into a grid of tiles and every tile is resized to the full side. The tiles carry less
detail than full images, but there are `factor * factor` times as many of them for the same bytes.
"""

from collections import defaultdict

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from collabdm.errors import ConfigError, explain

__all__ = ["check_factor", "expand", "pack", "tiles_by_size"]


def check_factor(factor: int, height: int, width: int) -> None:
    """Refuse a factor below 1, or above a quarter of the shorter side (tiles would be under four pixels).

    Factor 1, which changes nothing, fits every size. Raises `ConfigError`.
    """
    largest = max(min(height, width) // 4, 1)
    if not 1 <= factor <= largest:
        raise ConfigError(
            explain(
                "partition-and-expand factor",
                got=factor,
                expected=f"1 to {largest} for {height}x{width} images (a quarter of the shorter side)",
                fix="set plan.pae within that range (1 turns partition and expand off)",
            )
        )


def expand(images: Tensor, factor: int) -> Tensor:
    """Cut every image into `factor` x `factor` tiles and resize each to the full side, bilinearly.

    [n, C, H, W] -> [n * factor**2, C, H, W], differentiable. The samples of one image are consecutive, tile
    rows first, then columns. Tile edges lie at round(i * side / factor), halves up. Raises `ConfigError` on a
    factor that does not fit (paper, section 4.3).
    """
    count, channels, height, width = images.shape
    check_factor(factor, height, width)
    if factor == 1:
        return images
    order: list[int] = []
    resized: list[Tensor] = []
    for (tile_height, tile_width), places in tiles_by_size(height, width, factor).items():
        tiles = torch.stack(
            [images[:, :, top : top + tile_height, left : left + tile_width] for _, top, left in places],
            dim=1,
        )
        full = interpolate(
            tiles.flatten(0, 1), size=(height, width), mode="bilinear", align_corners=False, antialias=False
        )
        resized.append(full.view(count, len(places), channels, height, width))
        order.extend(index for index, _, _ in places)
    samples = resized[0] if len(resized) == 1 else torch.cat(resized, dim=1)[:, _inverse(order, images.device)]
    return samples.reshape(count * factor * factor, channels, height, width)


def pack(samples: Tensor, factor: int) -> Tensor:
    """Shrink `factor**2` consecutive samples into the tiles of one image: how tiles start from real images.

    [n * factor**2, C, H, W] -> [n, C, H, W], in the order that `expand` reads them back. Bilinear with
    antialiasing, so that no detail folds into false patterns. Raises `ConfigError` on a factor that does not
    fit, or a number of samples that does not fill whole images.
    """
    total, channels, height, width = samples.shape
    check_factor(factor, height, width)
    if total % factor**2:
        raise ConfigError(
            explain(
                "samples to pack into tiles",
                got=total,
                expected=f"a multiple of {factor**2} ({factor} x {factor} tiles an image)",
                fix="give factor**2 samples for every image",
            )
        )
    if factor == 1:
        return samples
    grouped = samples.view(total // factor**2, factor**2, channels, height, width)
    images = samples.new_empty(len(grouped), channels, height, width)
    for size, places in tiles_by_size(height, width, factor).items():
        chosen = grouped[:, [index for index, _, _ in places]]
        small = interpolate(chosen.flatten(0, 1), size=size, mode="bilinear", align_corners=False, antialias=True).view(
            len(grouped), len(places), channels, *size
        )
        for place, (_, top, left) in enumerate(places):
            images[:, :, top : top + size[0], left : left + size[1]] = small[:, place]
    return images


def tiles_by_size(height: int, width: int, factor: int) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """Tile size -> (index, top, left) of each tile of that size: at most four sizes, so four resizes."""
    rows, columns = _edges(height, factor), _edges(width, factor)
    groups: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for row in range(factor):
        for column in range(factor):
            size = rows[row + 1] - rows[row], columns[column + 1] - columns[column]
            groups[size].append((row * factor + column, rows[row], columns[column]))
    return groups


def _edges(side: int, factor: int) -> list[int]:
    # floor(i * side / factor + 1/2) in integers: Python's round() would send halves to the even neighbour.
    return [(2 * i * side + factor) // (2 * factor) for i in range(factor + 1)]


def _inverse(order: list[int], device: torch.device) -> Tensor:
    return torch.argsort(torch.tensor(order, device=device))
