"""Coresets: centres of clusters that are plain to see."""

import numpy as np
import pytest
import torch

from collabdm.data import Samples
from collabdm.engine import EAGER
from collabdm.images.modality import Images
from collabdm.local import LocalJob
from collabdm.local.start import initial_samples
from collabdm.matching.sums import Sums
from collabdm.progress import silent
from collabdm.protocol import LOCAL_METHODS
from collabdm.randomness import Stream
from collabdm.registry import resolved_entry
from reference import small_plan


def _two_clumps() -> Samples:
    """Class 0: dark and bright images, twice as many dark; class 2: three samples of one kind."""
    noise = Stream(0, "clumps").integers(6, (33, 3, 8, 12))
    level = np.array([20] * 20 + [200] * 10 + [100] * 3).reshape(-1, 1, 1, 1)
    labels = np.array([0] * 30 + [2] * 3)
    return Samples(values=(noise + level).astype(np.uint8), labels=labels, classes=("class 0", "class 1", "class 2"))


def _job(samples: Samples, method: str) -> LocalJob:
    nothing = Sums(terms=(), seeds=(), drawn={}, values=np.zeros((0, 0, 0, 1)))
    plan = small_plan(ipc=3, local={"method": method})
    return LocalJob(plan=plan, client="ada", samples=samples, sums=nothing, engine=EAGER)


def _chosen(job: LocalJob, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return resolved_entry(LOCAL_METHODS[job.plan.local.method].run)(job, images, labels, silent)


@pytest.mark.parametrize("method", ["gmm", "dbscan"])
def test_each_clump_has_its_centre(method: str) -> None:
    samples = _two_clumps()
    job = _job(samples, method)
    images, labels = initial_samples(job)
    assert labels.tolist() == [0, 0, 2, 2]
    chosen = _chosen(job, images, labels)
    assert isinstance(job.plan.sample, Images)
    pixels = job.plan.sample.pixels(chosen)
    levels = sorted((255 * pixels[labels == 0]).mean(dim=(1, 2, 3)).tolist())
    assert levels == pytest.approx([22.5, 202.5], abs=1)
    clump = samples.values[:20].mean(axis=0)
    assert min(np.abs(255 * p - clump).max() for p in pixels[labels == 0].numpy()) < 6


def test_a_class_of_one_sample_stays_that_sample() -> None:
    whole = _two_clumps()
    for method in ("gmm", "dbscan"):
        job = _job(whole.take(np.array([0, 30])), method)
        images, labels = initial_samples(job)
        chosen = _chosen(job, images, labels)
        assert labels.tolist() == [0, 2]
        assert np.allclose(chosen, images, atol=1e-5)
