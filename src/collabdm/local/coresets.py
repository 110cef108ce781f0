"""Coresets instead of distillation: centres of clusters, or samples chosen to stand for all, of every class.

A class's samples are clustered as vectors of what networks see (of images, normalised pixels).
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.local.centres import AGGLOMERATIVE, CLUSTERS, HERDING, KMEANS, MIXTURE, Centres
from collabdm.local.start import LocalJob
from collabdm.modality import Modality
from collabdm.progress import Event, Report
from collabdm.randomness import Stream

__all__ = ["class_points", "cluster_means", "herded", "kmeans_centres", "mixture_means", "ward_centres"]


def mixture_means(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """The means of a Gaussian mixture of every class, a component a sample (FedD3's cheap variant).

    Covariances are diagonal: full ones of all pixels would need far more samples than a client has.
    """
    return _coreset(job, samples, labels, report, MIXTURE)


def cluster_means(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """The means of the largest clusters that DBSCAN finds in every class; real samples where there are fewer.

    Two samples are neighbours within the class's median distance to the nearest neighbour; two make a cluster. (FedD3's
    code has a fixed distance of 40.5, which depends on the scale of the pixels.)
    """
    return _coreset(job, samples, labels, report, CLUSTERS)


def kmeans_centres(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """The centres of k-means of every class; a class with fewer distinct samples than centres gives its samples."""
    return _coreset(job, samples, labels, report, KMEANS)


def ward_centres(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """The means of the clusters that Ward's agglomerative clustering makes of every class."""
    return _coreset(job, samples, labels, report, AGGLOMERATIVE)


def herded(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Real samples, chosen one by one so that the mean of those chosen stays nearest to that of the class (herding,
    Welling 2009)."""
    return _coreset(job, samples, labels, report, HERDING)


def _coreset(job: LocalJob, samples: Tensor, labels: Tensor, report: Report, centres: Centres) -> Tensor:
    found, tiles = job.checkpoint.found(), job.plan.tiles
    chosen, done = found.get("samples", samples).to(samples).clone(), int(found.get("done", 0))
    for number, (y, rows) in list(enumerate(job.members.items()))[done:]:
        mine = (labels == y).nonzero().flatten()
        stream = Stream(job.plan.seed, "coreset", job.client, y)
        points, told = class_points(job.samples, rows, len(mine) * tiles**2, centres, job.plan.sample, stream)
        chosen[mine] = job.plan.sample.pack(points.to(samples), tiles)
        report(Event(stage="local", client=job.client, done=number + 1, total=len(job.members), message=told))
        job.checkpoint.keep(partial(dict, samples=chosen, done=torch.tensor(number + 1)))
    return chosen


def class_points(
    samples: Samples, rows: np.ndarray, count: int, centres: Centres, sample: Modality, stream: Stream
) -> tuple[Tensor, str | None]:
    """`count` points, float64 [count, *shape], for the samples of one class, which are those at `rows`; and one line
    where they are more than are looked at."""
    kept = rows[stream.choose(len(rows), centres.most)]
    real = sample.tensors(samples.values[kept], device="cpu", dtype=torch.float64)
    found = centres.of(real.flatten(1).numpy(), count, stream)
    told = None
    if len(kept) < len(rows):
        y = samples.classes[int(samples.labels[rows[0]])]
        told = f"class {y}: {len(kept):,} of {len(rows):,} {sample.plural}, drawn at random, are looked at"
    return torch.from_numpy(found).view(-1, *real.shape[1:]), told
