"""Dead leaves: the same everywhere, discs in front of discs, edges at every scale."""

import hashlib

import numpy as np

from collabdm.networks.dead_leaves import dead_leaves
from collabdm.randomness import Stream


def test_pictures_are_the_same_to_the_bit_everywhere() -> None:
    pictures = dead_leaves(Stream(1, "leaves"), 2, 3, 16)
    assert pictures.shape == (2, 3, 16, 16)
    assert (
        hashlib.sha256(pictures.astype("<f8").tobytes()).hexdigest()
        == "74099756cfbf4f9e81bfc60725fe030a3d8f2fadab951f57ab48ec8b26e34c3d"
    )


def test_a_picture_is_discs_each_of_one_colour() -> None:
    (picture,) = dead_leaves(Stream(2, "leaves"), 1, 3, 32)
    colours = {tuple(pixel) for pixel in picture.reshape(3, -1).T}
    assert 10 < len(colours) < 251
    assert picture.min() >= 0
    assert picture.max() < 1


def test_it_equals_drawing_discs_from_the_back_to_the_front() -> None:
    (picture,) = dead_leaves(Stream(3, "leaves"), 1, 1, 12)
    stream = Stream(3, "leaves")
    uniform, centre, colour = stream.uniform(250), stream.uniform((2, 250)), stream.uniform((1, 250))
    drawn = np.full((12, 12), colour[0, -1])
    for leaf in reversed(range(250)):
        radius = (1.0 + uniform[leaf] * (7.2**-2 - 1.0)) ** -0.5
        at = centre[:, leaf] * (12 + 2 * radius) - radius
        for y in range(12):
            for x in range(12):
                if (y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2:
                    drawn[y, x] = colour[0, leaf]
    assert np.array_equal(picture[0], drawn)


def test_contrast_falls_with_distance_as_in_photographs() -> None:
    pictures = dead_leaves(Stream(4, "leaves"), 40, 1, 32)
    near, far = (np.mean((pictures[..., step:] - pictures[..., :-step]) ** 2) for step in (1, 16))
    assert near < far / 2
