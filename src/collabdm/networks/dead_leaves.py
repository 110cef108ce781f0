"""Procedural pictures that belong to nobody's data: dead leaves, discs that hide one another.

Their edges and sizes are distributed as those of photographs are (Lee, Mumford and Huang 2001), so small patches of
them serve as filters for photographs, though no photograph was looked at.
"""

import numpy as np

from collabdm.randomness import Stream

__all__ = ["dead_leaves"]

# So many discs of these sizes cover any picture but for specks, which the last disc fills.
_LEAVES = 250
_SMALLEST, _LARGEST = 1.0, 0.6


def dead_leaves(stream: Stream, count: int, channels: int, side: int) -> np.ndarray:
    """`count` pictures, float64 [count, channels, side, side] in [0, 1), the same to the bit on every machine.

    The radius of a disc has density r^-3 between one pixel and 0.6 of the side; its centre is anywhere where it
    touches the picture, and its colour uniform.
    """
    down, across = np.mgrid[0:side, 0:side].astype(np.float64)
    smallest, largest = _SMALLEST**-2, (_LARGEST * side) ** -2
    pictures = np.empty((count, channels, side, side))
    for picture in pictures:
        # Only sums, products, quotients and roots, which every machine rounds alike.
        radius = 1 / np.sqrt(smallest + stream.uniform(_LEAVES) * (largest - smallest))
        centre = stream.uniform((2, _LEAVES)) * (side + 2 * radius) - radius
        colour = stream.uniform((channels, _LEAVES))
        apart = (down - centre[0, :, None, None]) ** 2 + (across - centre[1, :, None, None]) ** 2
        hides = apart < (radius**2)[:, None, None]
        hides[-1] = True
        picture[:] = colour[:, hides.argmax(axis=0)]
    return pictures
