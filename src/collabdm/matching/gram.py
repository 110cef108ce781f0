"""The second-order statistic: the Gram matrix and the class sums of one fixed feature map.

Both are sums over samples, so those of any sites add up to those of all data, whatever the split: enough for the ridge
classifier of all data (AFL, He et al. 2025), and for the kernel-inducing-points loss of a synthetic set against all
data. One feature map serves a whole plan.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from collabdm.data.samples import Samples
from collabdm.matching.embedding import Embedder
from collabdm.modality import Modality

__all__ = ["FeatureMoments", "FeatureSums", "added", "feature_sums"]

# As many features as this at once are multiplied out: enough for a fast product, few enough to stay small.
_BLOCK = 1024

# Of upper left, upper right, lower left and lower right: all; left less right; upper less lower; across.
_CONTRASTS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSums:
    """Sums over samples with features phi(x) of length d.

    `counts`: float64 [classes]; `first`: float64 [classes, d], the sum of phi over a class; `second`: float64 [d, d],
    the sum of phi phi^T over all samples.
    """

    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def moments(self) -> "FeatureMoments":
        """As they travel. There must be a sample."""
        held = self.counts > 0
        counts, means = self.counts[held], self.first[held] / self.counts[held, None]
        scatter = (self.second - (means * counts[:, None]).T @ means) / counts.sum()
        return FeatureMoments(means=means, scatter=(scatter + scatter.T) / 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureMoments:
    """The same in a well-conditioned form, without the counts: what one site sends.

    `means`: [held classes, d], of phi over each class, ascending; `scatter`: [d, d], the mean over all samples of the
    outer product of what phi differs from the mean of its class.
    """

    means: np.ndarray
    scatter: np.ndarray

    def sums(self, counts: np.ndarray) -> FeatureSums:
        """The sums again, where `counts` [classes] is what was counted, or what the site may count for at most."""
        held = counts > 0
        means, weights = self.means.astype(np.float64), counts[held].astype(np.float64)
        first = np.zeros((len(counts), means.shape[1]))
        first[held] = means * weights[:, None]
        second = self.scatter.astype(np.float64) * weights.sum() + (means * weights[:, None]).T @ means
        return FeatureSums(counts=counts.astype(np.float64), first=first, second=second)

    def contrasts(self) -> "FeatureMoments":
        """Those of half the sum and half of three differences of every four neighbouring features in place of these
        four; done twice, it gives the moments again. There must be fours."""
        return FeatureMoments(means=_turned(self.means), scatter=_turned(_turned(self.scatter).T))


def added(parts: Iterable[FeatureSums]) -> FeatureSums:
    """The sums of all samples together, one part after another; there must be a part."""
    # One at a time: of a thousand sites these are gigabytes.
    waiting = iter(parts)
    first = next(waiting)
    counts, sums, second = first.counts.copy(), first.first.copy(), first.second.copy()
    for part in waiting:
        counts += part.counts
        sums += part.first
        second += part.second
    return FeatureSums(counts=counts, first=sums, second=second)


def feature_sums(
    embedder: Embedder,
    parameters: dict[str, torch.Tensor],
    samples: Samples,
    sample: Modality,
    augment: Sequence[str] = (),
) -> FeatureSums:
    """The sums over all samples, each the mean over its views under the operations `augment` (`Modality.views`).

    Block by block: memory holds one block of features and the Gram matrix.
    """
    engine, d, classes = embedder.engine, embedder.features, len(samples.classes)
    first = torch.zeros(classes, d, dtype=torch.float64, device=engine.device)
    second = torch.zeros(d, d, dtype=torch.float64, device=engine.device)
    for start in range(0, len(samples), _BLOCK):
        shown = sample.tensors(samples.values[start : start + _BLOCK], device=engine.device, dtype=engine.sample_dtype)
        labels = torch.from_numpy(samples.labels[start : start + _BLOCK]).to(engine.device)
        views = sample.views(shown, embedder.network.changed_by(augment))
        for view in views:
            features = embedder.embed(parameters, view).to(engine.sample_dtype)
            # A product of float32 over one block; the blocks add up in float64.
            second += (features.T @ features).double() / len(views)
            first.index_add_(0, labels, features.double() / len(views))
    return FeatureSums(
        counts=samples.counts().astype(np.float64), first=first.cpu().numpy(), second=second.cpu().numpy()
    )


def _turned(rows: np.ndarray) -> np.ndarray:
    fours = rows.astype(np.float64).reshape(len(rows), -1, 4)
    return (fours @ _CONTRASTS).reshape(rows.shape).astype(rows.dtype)
