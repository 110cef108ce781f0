"""Partition and expand: one stored image acts as `tiles * tiles` training samples (paper, section 4.3).

Each stored image is cut into a grid of tiles and every tile is resized to the full side. The tiles carry less
detail than full images, but there are `tiles * tiles` times as many of them for the same bytes.
"""

from collections import defaultdict

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from collabdm.errors import ConfigError, explain
from collabdm.randomness import Stream

__all__ = ["check_tiles", "expand", "pack", "permuted_tiles"]


def check_tiles(tiles: int, height: int, width: int) -> None:
    """Refuse fewer than 1 tile a side, or tiles under four pixels (above a quarter of the shorter side).

    One tile a side, which changes nothing, fits every size. Raises `ConfigError`.
    """
    largest = max(min(height, width) // 4, 1)
    if not 1 <= tiles <= largest:
        raise ConfigError(
            explain(
                "partition-and-expand tiles",
                got=tiles,
                expected=f"1 to {largest} for {height}x{width} images (a quarter of the shorter side)",
                fix="set plan.tiles within that range (1 turns partition and expand off)",
            )
        )


def expand(images: Tensor, tiles: int) -> Tensor:
    """Cut every image into `tiles` x `tiles` tiles and resize each to the full side, bilinearly.

    [n, C, H, W] -> [n * tiles**2, C, H, W], differentiable. The samples of one image are consecutive, tile
    rows first, then columns. Tile edges lie at round(i * side / tiles), halves up. Raises `ConfigError` on a
    number of tiles that does not fit (paper, section 4.3).
    """
    count, channels, height, width = images.shape
    check_tiles(tiles, height, width)
    if tiles == 1:
        return images
    order: list[int] = []
    resized: list[Tensor] = []
    for (tile_height, tile_width), places in _tiles_by_size(height, width, tiles).items():
        parts = torch.stack(
            [images[:, :, top : top + tile_height, left : left + tile_width] for _, top, left in places],
            dim=1,
        )
        full = interpolate(
            parts.flatten(0, 1), size=(height, width), mode="bilinear", align_corners=False, antialias=False
        )
        resized.append(full.view(count, len(places), channels, height, width))
        order.extend(index for index, _, _ in places)
    samples = resized[0] if len(resized) == 1 else torch.cat(resized, dim=1)[:, _inverse(order, images.device)]
    return samples.reshape(count * tiles * tiles, channels, height, width)


def pack(samples: Tensor, tiles: int) -> Tensor:
    """Shrink `tiles**2` consecutive samples into the tiles of one image: how tiles start from real images.

    [n * tiles**2, C, H, W] -> [n, C, H, W], in the order that `expand` reads them back. Bilinear with
    antialiasing, so that no detail folds into false patterns. Raises `ConfigError` on a number of tiles that
    does not fit, or a number of samples that does not fill whole images.
    """
    total, channels, height, width = samples.shape
    check_tiles(tiles, height, width)
    if total % tiles**2:
        raise ConfigError(
            explain(
                "samples to pack into tiles",
                got=total,
                expected=f"a multiple of {tiles**2} ({tiles} x {tiles} tiles an image)",
                fix="give tiles**2 samples for every image",
            )
        )
    if tiles == 1:
        return samples
    grouped = samples.view(total // tiles**2, tiles**2, channels, height, width)
    images = samples.new_empty(len(grouped), channels, height, width)
    for size, places in _tiles_by_size(height, width, tiles).items():
        chosen = grouped[:, [index for index, _, _ in places]]
        small = interpolate(chosen.flatten(0, 1), size=size, mode="bilinear", align_corners=False, antialias=True).view(
            len(grouped), len(places), channels, *size
        )
        for place, (_, top, left) in enumerate(places):
            images[:, :, top : top + size[0], left : left + size[1]] = small[:, place]
    return images


def permuted_tiles(stream: Stream, images: Tensor, count: int, tiles: int) -> Tensor:
    """`count` images [count, C, H, W] whose every tile is a random tile, of the same size, of the `images` given."""
    made = images.new_empty(count, *images.shape[1:])
    for (height, width), places in _tiles_by_size(images.shape[2], images.shape[3], tiles).items():
        for i in range(count):
            for _, top, left in places:
                donor, (_, from_top, from_left) = (
                    int(stream.integers(len(images))),
                    places[int(stream.integers(len(places)))],
                )
                tile = images[donor, :, from_top : from_top + height, from_left : from_left + width]
                made[i, :, top : top + height, left : left + width] = tile
    return made


def _tiles_by_size(height: int, width: int, tiles: int) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """Tile size -> (index, top, left) of each tile of that size: at most four sizes, so four resizes."""
    rows, columns = _edges(height, tiles), _edges(width, tiles)
    groups: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for row in range(tiles):
        for column in range(tiles):
            size = rows[row + 1] - rows[row], columns[column + 1] - columns[column]
            groups[size].append((row * tiles + column, rows[row], columns[column]))
    return groups


def _edges(side: int, tiles: int) -> list[int]:
    # floor(i * side / tiles + 1/2) in integers: Python's round() would send halves to the even neighbour.
    return [(2 * i * side + tiles) // (2 * tiles) for i in range(tiles + 1)]


def _inverse(order: list[int], device: torch.device) -> Tensor:
    return torch.argsort(torch.tensor(order, device=device))
