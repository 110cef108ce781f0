"""Few points that stand for many: centres of clusters, or chosen samples, of the samples of one class as vectors.

All are functions of float64 [n, d], how many points are wanted, and a stream, to at most so many [m, d]. Each gives the
same bits on any number of threads. scikit-learn takes a second to import, so each imports what it needs.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from collabdm.engine.workers import library_threads
from collabdm.randomness import Stream

__all__ = ["AGGLOMERATIVE", "CLUSTERS", "HERDING", "KMEANS", "MIXTURE", "Centres", "weighted_kmeans"]

KMEANS_STARTS = 4

Find = Callable[[np.ndarray, int, Stream], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Centres:
    """A way to find points; `most`: of so many samples at once, drawn at random where there are more."""

    find: Find
    most: int

    def of(self, samples: np.ndarray, count: int, stream: Stream) -> np.ndarray:
        """`count` points [count, d] for samples [n, d] with n at least 1; where a class has fewer samples than that,
        or a way finds fewer clusters, samples fill it up, again and again."""
        if len(samples) > 1:
            with library_threads(1):
                found = self.find(samples, min(count, len(samples)), stream)
        else:
            found = samples[:count]
        return np.concatenate([found, np.resize(samples, (count - len(found), samples.shape[1]))])


def _mixture(samples: np.ndarray, count: int, stream: Stream) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    state = int(stream.integers(2**31))
    mixture = GaussianMixture(count, covariance_type="diag", reg_covar=1e-2, max_iter=50, random_state=state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct samples than components is no error here
        return np.asarray(mixture.fit(samples).means_)


def _clusters(samples: np.ndarray, count: int, stream: Stream) -> np.ndarray:
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=2).fit(samples).kneighbors(samples)[0][:, 1]
    found = DBSCAN(eps=max(float(np.median(nearest)), 1e-9), min_samples=2).fit(samples).labels_
    sizes = np.bincount(found[found >= 0])
    largest = np.argsort(-sizes, kind="stable")[:count]
    return np.stack([samples[found == label].mean(axis=0) for label in largest]) if len(largest) else samples[:0]


def _kmeans(samples: np.ndarray, count: int, stream: Stream) -> np.ndarray:
    return weighted_kmeans(samples, np.ones(len(samples)), count, stream)[0]


def weighted_kmeans(
    samples: np.ndarray, weights: np.ndarray, count: int, stream: Stream
) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` centres [m, d] of samples [n, d] that count by `weights` [n], and the weight of each, [m].

    The best of a few starts (k-means++). Samples of which no more are distinct than centres are wanted stand for
    themselves.
    """
    from sklearn.cluster import KMeans

    state, settings = int(stream.integers(2**31)), dict[str, Any](n_init=KMEANS_STARTS)
    distinct, of = np.unique(samples, axis=0, return_inverse=True)
    together = np.bincount(of.reshape(-1), weights=weights)
    if len(distinct) <= count:
        return distinct, together
    with library_threads(1):
        found = KMeans(count, random_state=state, **settings).fit(distinct, sample_weight=together)
    return found.cluster_centers_, np.bincount(np.asarray(found.labels_), weights=together, minlength=count)


def _agglomerative(samples: np.ndarray, count: int, stream: Stream) -> np.ndarray:
    from sklearn.cluster import AgglomerativeClustering

    if len(samples) <= count:
        return samples
    found = AgglomerativeClustering(count, linkage="ward").fit(samples).labels_
    return np.stack([samples[found == label].mean(axis=0) for label in range(count)])


def _herding(samples: np.ndarray, count: int, stream: Stream) -> np.ndarray:
    mean, norms = samples.mean(axis=0), (samples**2).sum(axis=1)
    total, left, chosen = np.zeros_like(mean), np.ones(len(samples), bool), list[int]()
    for taken in range(1, count + 1):
        # |taken mean - total - x|^2 but for what is the same for all x.
        distances = norms - 2 * samples @ (taken * mean - total)
        best = int(np.argmin(np.where(left, distances, np.inf)))
        left[best] = False
        total = total + samples[best]
        chosen.append(best)
    return samples[chosen]


MIXTURE = Centres(find=_mixture, most=2000)
CLUSTERS = Centres(find=_clusters, most=2000)
KMEANS = Centres(find=_kmeans, most=50_000)
# All pairs are compared.
AGGLOMERATIVE = Centres(find=_agglomerative, most=5000)
HERDING = Centres(find=_herding, most=50_000)
