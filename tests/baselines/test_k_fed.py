"""One-shot federated k-means: what travels, and that it finds what pooled k-means finds."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from baselines.test_central_sets import job_of, made, rows_of
from collabdm.baselines.k_fed import joined, message
from collabdm.baselines.local_sets import plan_of
from collabdm.data import Dataset, load_dataset
from collabdm.protocol import LocalSpec


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def lost(data: Dataset, y: int, points: np.ndarray) -> float:
    rows = rows_of(data, y)
    return float(((rows[:, None] - points[None]) ** 2).sum(axis=2).min(axis=1).sum())


def test_centres_travel_with_how_many_samples_each_stands_for(digits: Dataset, tmp_path: Path) -> None:
    job = job_of("k-fed", digits, tmp_path, ipc=3)
    plan = plan_of(job, LocalSpec(method="kmeans"))
    client, rows = next(iter(job.parts.items()))
    mine = digits.train.take(rows)
    sent = load(message(plan, client, mine))
    for y, held in enumerate(mine.counts().tolist()):
        assert sent[f"{y}.sizes"].sum() == held
        assert sent[f"{y}.centres"].shape == (3, 64)
        # Centres, weighted by what they stand for, have the mean of the class.
        mean = np.average(sent[f"{y}.centres"].astype(float), axis=0, weights=sent[f"{y}.sizes"])
        own = (mine.values[mine.of_class(y)].reshape(-1, 64) / 255 - 0.5) / 0.5
        assert np.allclose(mean, own.mean(axis=0), atol=2e-3)


def test_one_point_a_class_is_the_mean_of_all_data_whatever_the_split(digits: Dataset, tmp_path: Path) -> None:
    settings = {"ipc": 1, "partition.kind": "dirichlet", "partition.beta": 0.1, "plan.min_held": 1}
    found = made(job_of("k-fed", digits, tmp_path, **settings))
    for y in range(10):
        assert np.allclose(found.samples[y].flatten(), rows_of(digits, y).mean(axis=0), atol=2e-3)


def test_it_is_near_pooled_kmeans_where_the_union_is_not(digits: Dataset, tmp_path: Path) -> None:
    settings = {"ipc": 5, "partition.kind": "dirichlet", "partition.beta": 0.1, "partition.clients": 5}
    sets = {
        name: made(job_of(name, digits, tmp_path, **settings)) for name in ("central-kmeans", "k-fed", "fed-kmeans")
    }
    totals = {
        name: sum(lost(digits, y, one.samples[one.labels == y].flatten(1).double().numpy()) for y in range(10))
        for name, one in sets.items()
    }
    assert totals["k-fed"] < 1.1 * totals["central-kmeans"]
    assert totals["k-fed"] < totals["fed-kmeans"]


def test_the_order_of_clients_does_not_matter(digits: Dataset, tmp_path: Path) -> None:
    job = job_of("k-fed", digits, tmp_path, ipc=2)
    plan = plan_of(job, LocalSpec(method="kmeans"))
    sent = {client: message(plan, client, digits.train.take(rows)) for client, rows in job.parts.items()}
    turned = dict(reversed(sent.items()))
    one, other = joined(plan, sent), joined(plan, turned)
    assert all(bool((one[y] == other[y]).all()) for y in range(10))
