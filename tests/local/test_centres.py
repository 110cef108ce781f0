"""Centres and chosen samples: against scikit-learn on the same rows, and against slow loops."""

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering, KMeans

from collabdm.engine.workers import library_threads
from collabdm.local.centres import AGGLOMERATIVE, CLUSTERS, HERDING, KMEANS, MIXTURE, weighted_kmeans
from collabdm.randomness import Stream

MANY: dict[str, Any] = {"n_init": 50}
ALL = {"kmeans": KMEANS, "agglomerative": AGGLOMERATIVE, "herding": HERDING, "gmm": MIXTURE, "dbscan": CLUSTERS}


def rows(count: int = 60, seed: int = 0) -> np.ndarray:
    """Six clumps in five columns."""
    noise = Stream(seed, "centres").uniform((count, 5), -1, 1)
    return noise + 6.0 * (np.arange(count) % 6)[:, None] * np.array([1, -1, 0.5, 0, 2])


def by_row(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(points.T)]


def inertia(samples: np.ndarray, points: np.ndarray) -> float:
    return float(((samples[:, None] - points[None]) ** 2).sum(axis=2).min(axis=1).sum())


def test_kmeans_is_scikit_learns() -> None:
    samples = rows()
    found = KMEANS.of(samples, 6, Stream(1, "any"))
    slow = KMeans(6, **MANY, random_state=3).fit(samples)
    assert np.allclose(by_row(found), by_row(slow.cluster_centers_))
    # More centres than clumps: nearly as low as many more starts get.
    many = KMEANS.of(samples, 15, Stream(1, "any"))
    assert inertia(samples, many) < 1.1 * float(KMeans(15, **MANY, random_state=3).fit(samples).inertia_ or 0)


def test_weights_count_as_copies_do() -> None:
    samples, copies = rows(20), np.arange(20) % 3 + 1
    found, sizes = weighted_kmeans(samples, copies.astype(float), 4, Stream(2, "any"))
    again, counts = weighted_kmeans(np.repeat(samples, copies, axis=0), np.ones(copies.sum()), 4, Stream(2, "any"))
    assert np.allclose(found, again)
    assert np.allclose(sizes, counts)
    assert sizes.sum() == pytest.approx(copies.sum())
    nearest = ((samples[:, None] - found[None]) ** 2).sum(axis=2).argmin(axis=1)
    for cluster in range(4):
        mine = nearest == cluster
        assert np.allclose(found[cluster], np.average(samples[mine], axis=0, weights=copies[mine]))


def test_agglomerative_is_wards() -> None:
    samples = rows(40, seed=4)
    labels = AgglomerativeClustering(7, linkage="ward").fit_predict(samples)
    slow = np.stack([samples[labels == label].mean(axis=0) for label in range(7)])
    assert np.allclose(by_row(AGGLOMERATIVE.of(samples, 7, Stream(0, "any"))), by_row(slow))


def test_herding_is_the_slow_loop() -> None:
    samples = rows(30, seed=5)
    mean, left, chosen = samples.mean(axis=0), list(range(30)), list[int]()
    for _ in range(8):
        best = min(left, key=lambda i: float(np.sum((mean - samples[[*chosen, i]].mean(axis=0)) ** 2)))
        left.remove(best)
        chosen.append(best)
    assert np.array_equal(HERDING.of(samples, 8, Stream(0, "any")), samples[chosen])


def test_herded_samples_keep_the_mean_nearer_than_random_ones() -> None:
    samples = rows(200, seed=6)
    herded = HERDING.of(samples, 10, Stream(0, "any")).mean(axis=0)
    drawn = [samples[Stream(i, "drawn").choose(200, 10)].mean(axis=0) for i in range(30)]
    mean = samples.mean(axis=0)
    assert np.linalg.norm(herded - mean) < min(np.linalg.norm(one - mean) for one in drawn)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("held", [1, 2, 3])
def test_fewer_samples_than_points_stand_for_themselves(name: str, held: int) -> None:
    samples = rows(held)
    found = ALL[name].of(samples, 5, Stream(0, "any"))
    assert found.shape == (5, 5)
    assert np.isfinite(found).all()
    if name in ("kmeans", "agglomerative", "herding"):
        assert np.array_equal(np.unique(found, axis=0), np.unique(samples, axis=0))


@pytest.mark.parametrize("name", ["kmeans", "agglomerative", "herding", "dbscan"])
def test_copies_are_no_trouble(name: str) -> None:
    # Two distinct rows, thirty times over, of which four points are wanted; warnings are errors.
    samples = np.repeat(rows(2), 30, axis=0)
    found = ALL[name].of(samples, 4, Stream(0, "any"))
    assert found.shape == (4, 5)
    assert np.allclose(np.unique(found.round(9), axis=0), np.unique(samples.round(9), axis=0))


@pytest.mark.parametrize("name", ALL)
def test_threads_change_nothing(name: str) -> None:
    samples = Stream(7, "threads").uniform((900, 40), -1, 1)
    found = []
    for threads in (1, 4):
        with library_threads(threads):
            found.append(ALL[name].of(samples, 9, Stream(8, "any")))
    assert np.array_equal(found[0], found[1])
