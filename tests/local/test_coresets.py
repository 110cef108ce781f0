"""Coresets: centres of clusters that are plain to see."""

import numpy as np
import pytest
import torch

from collabdm.data import Samples
from collabdm.engine import EAGER
from collabdm.images.pixels import denormalised
from collabdm.local import LOCAL_METHODS, ClientStatistics, LocalJob
from collabdm.local.start import initial_images
from collabdm.progress import silent
from collabdm.randomness import Stream
from reference import small_plan


def _two_clumps() -> Samples:
    """Class 0: dark and bright images, twice as many dark; class 2: three samples of one kind."""
    noise = Stream(0, "clumps").integers(6, (33, 3, 8, 12))
    level = np.array([20] * 20 + [200] * 10 + [100] * 3).reshape(-1, 1, 1, 1)
    labels = np.array([0] * 30 + [2] * 3)
    return Samples(images=(noise + level).astype(np.uint8), labels=labels, classes=("class 0", "class 1", "class 2"))


def _job(samples: Samples, method: str) -> LocalJob:
    nothing = ClientStatistics(seeds=(), classes=(), values=torch.zeros(0), drawn={})
    plan = small_plan(ipc=3, local={"method": method})
    return LocalJob(plan=plan, client="ada", samples=samples, statistics=nothing, engine=EAGER)


@pytest.mark.parametrize("method", ["gmm", "dbscan"])
def test_each_clump_has_its_centre(method: str) -> None:
    samples = _two_clumps()
    job = _job(samples, method)
    images, labels = initial_images(job)
    assert labels.tolist() == [0, 0, 2, 2]
    chosen = LOCAL_METHODS[method](job, images, labels, silent)
    pixels = denormalised(chosen, job.plan.normalisation)
    levels = sorted((255 * pixels[labels == 0]).mean(dim=(1, 2, 3)).tolist())
    assert levels == pytest.approx([22.5, 202.5], abs=1)
    clump = samples.images[:20].mean(axis=0)
    assert min(np.abs(255 * p - clump).max() for p in pixels[labels == 0].numpy()) < 6


def test_a_class_of_one_sample_stays_that_sample() -> None:
    whole = _two_clumps()
    for method in ("gmm", "dbscan"):
        job = _job(whole.take(np.array([0, 30])), method)
        images, labels = initial_images(job)
        chosen = LOCAL_METHODS[method](job, images, labels, silent)
        assert labels.tolist() == [0, 2]
        assert np.allclose(chosen, images, atol=1e-5)
