"""Coresets instead of distillation (the cheap variants of FedD3): centres of Gaussian mixtures or of dense clusters.

A class's samples are clustered as vectors of normalised pixels; at most `MOST_SAMPLES` of them, drawn at random.
"""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.local.start import LocalJob
from collabdm.progress import Event, Report
from collabdm.randomness import Stream

__all__ = ["cluster_means", "mixture_means"]

MOST_SAMPLES = 2000

# From samples [n, pixels], how many are wanted, and a stream, to at most so many centres [m, pixels].
Centres = Callable[[np.ndarray, int, Stream], np.ndarray]


def mixture_means(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """The means of a Gaussian mixture of every class, a component a sample.

    Covariances are diagonal: full ones of all pixels would need far more samples than a client has.
    """
    return _coreset(job, samples, labels, report, _mixture)


def cluster_means(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """The means of the largest clusters that DBSCAN finds in every class; real samples where there are fewer.

    Two samples are neighbours within the class's median distance to the nearest neighbour; two make a cluster. (FedD3's
    code has a fixed distance of 40.5, which depends on the scale of the pixels.)
    """
    return _coreset(job, samples, labels, report, _clusters)


def _coreset(job: LocalJob, samples: Tensor, labels: Tensor, report: Report, centres: Centres) -> Tensor:
    found, parts = job.checkpoint.found(), job.plan.tiles**2
    chosen, done = found.get("samples", samples).to(samples).clone(), int(found.get("done", 0))
    for number, (y, rows) in list(enumerate(job.members.items()))[done:]:
        stream = Stream(job.plan.seed, "coreset", job.client, y)
        mine = (labels == y).nonzero().flatten()
        kept = rows[stream.choose(len(rows), MOST_SAMPLES)]
        real = job.real(kept).flatten(1).double().cpu().numpy()
        wanted = len(mine) * parts
        found = centres(real, min(wanted, len(real)), stream) if len(real) > 1 else real
        filled = np.concatenate([found, np.resize(real, (wanted - len(found), real.shape[1]))])
        chosen[mine] = job.plan.sample.pack(
            torch.from_numpy(filled).to(samples).view(-1, *samples.shape[1:]), job.plan.tiles
        )
        report(Event(stage="local", client=job.client, done=number + 1, total=len(job.members)))
        job.checkpoint.keep(partial(dict, samples=chosen, done=torch.tensor(number + 1)))
    return chosen


def _mixture(samples: np.ndarray, count: int, stream: Stream) -> np.ndarray:
    # Here, since scikit-learn takes a second to import and only these methods need it.
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
