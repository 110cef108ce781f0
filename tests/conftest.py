"""What every test shares: reproducible hypothesis examples, no network, tiny data."""

import os

# Before `datasets` is imported anywhere: no test may reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

from collabdm.data import Samples
from collabdm.randomness import Stream

settings.register_profile("collabdm", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("collabdm")


def _make_samples(counts: list[int], shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> Samples:
    labels = Stream(seed, "test labels").permutation(sum(counts))
    labels = np.repeat(np.arange(len(counts)), counts)[labels].astype(np.int64)
    # Each class has its own brightness, so that a classifier or a mean can tell them apart.
    noise = Stream(seed, "test images").integers(64, (len(labels), *shape))
    images = (noise + 160 * labels.reshape(-1, 1, 1, 1) // max(len(counts) - 1, 1)).astype(np.uint8)
    return Samples(values=images, labels=labels, classes=tuple(f"class {y}" for y in range(len(counts))))


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., Samples]:
    """A function (counts per class, shape, seed) -> Samples, shuffled, pixels by class and noise."""
    return _make_samples


@pytest.fixture(scope="session")
def tiny_samples() -> Samples:
    """Three classes of 12, 7 and 5 one-channel images of 8x8."""
    return _make_samples([12, 7, 5])


@pytest.fixture(scope="session")
def tiny_colour_samples() -> Samples:
    """Three classes of 12, 7 and 5 three-channel images of 16x16."""
    return _make_samples([12, 7, 5], shape=(3, 16, 16))
