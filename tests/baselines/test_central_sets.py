"""Centres of all data: what scikit-learn finds in the pooled rows."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from collabdm.baselines import RivalJob, central_sets, rival_named
from collabdm.data import Dataset, load_dataset
from collabdm.distilled import DistilledSet
from collabdm.engine import EAGER
from collabdm.local.centres import Centres
from collabdm.planning import augmentation_for
from collabdm.progress import Event
from collabdm.simulation.sharing import parts_of
from tiny_runs import tiny_config


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def job_of(name: str, data: Dataset, kept: Path, **changes: object) -> RivalJob:
    config = tiny_config({"method": name} | changes)
    parts = parts_of(config, data)
    return RivalJob(train=data.train, parts=parts, config=config, preset=data.preset, engine=EAGER, kept=kept)


def made(job: RivalJob) -> DistilledSet:
    product = rival_named(job.config.method).run(job).product
    assert isinstance(product, DistilledSet)
    return product


def rows_of(data: Dataset, y: int) -> np.ndarray:
    """As networks see them: pixels from -1 to 1."""
    return (data.train.values[data.train.of_class(y)].reshape(-1, 64) / 255 - 0.5) / 0.5


def test_kmeans_of_the_pooled_rows(digits: Dataset, tmp_path: Path) -> None:
    # Five sites of few classes each: it must not matter.
    found = made(job_of("central-kmeans", digits, tmp_path, ipc=3))
    assert found.counts().tolist() == [3] * 10
    assert found.augment == augmentation_for(tiny_config(), digits.preset)
    many: dict[str, Any] = {"n_init": 30}
    for y in (0, 4, 9):
        rows, points = rows_of(digits, y), found.samples[found.labels == y].flatten(1).double().numpy()
        slow = KMeans(3, **many, random_state=1).fit(rows)
        lost = ((rows[:, None] - points[None]) ** 2).sum(axis=2).min(axis=1).sum()
        assert lost == pytest.approx(slow.inertia_, rel=0.01)


def test_one_point_a_class_is_its_mean(digits: Dataset, tmp_path: Path) -> None:
    for name in ("central-kmeans", "central-agglomerative"):
        found = made(job_of(name, digits, tmp_path, ipc=1))
        for y in range(10):
            assert np.allclose(found.samples[y].flatten(), rows_of(digits, y).mean(axis=0), atol=1e-5)


def test_herded_samples_are_real(digits: Dataset, tmp_path: Path) -> None:
    found = made(job_of("central-herding", digits, tmp_path, ipc=4))
    for y in range(10):
        rows = {tuple(row) for row in rows_of(digits, y).astype(np.float32).round(4).tolist()}
        chosen = {tuple(row) for row in found.samples[found.labels == y].flatten(1).numpy().round(4).tolist()}
        assert len(chosen) == 4
        assert chosen <= rows


def test_a_class_of_few_samples_gives_those(digits: Dataset, tmp_path: Path) -> None:
    rows = np.concatenate([digits.train.of_class(y)[: 2 if y == 3 else 20] for y in range(10)])
    few = dataclasses.replace(digits, train=digits.train.take(rows))
    job = dataclasses.replace(job_of("central-kmeans", few, tmp_path, ipc=5), train=few.train)
    found = made(job)
    assert found.counts().tolist() == [5, 5, 5, 2, *[5] * 6]
    own = torch.from_numpy(rows_of(few, 3)).float()
    assert torch.allclose(found.samples[found.labels == 3].flatten(1).sort(dim=0).values, own.sort(dim=0).values)


def test_what_is_left_out_is_told(digits: Dataset, tmp_path: Path) -> None:
    told: list[Event] = []
    fewer = Centres(find=central_sets.KMEANS.find, most=50)
    job = dataclasses.replace(job_of("central-kmeans", digits, tmp_path, ipc=2), report=told.append)
    central_sets._run(job, fewer, "kmeans")
    first = next(event.message for event in told if event.message)
    held = digits.train.counts()[0]
    assert first == f"class 0: 50 of {held} images, drawn at random, are looked at"
