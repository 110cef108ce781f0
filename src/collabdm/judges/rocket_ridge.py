"""ROCKET as a judge of series: ridge regression on the features of random convolutional kernels (Dempster et al. 2020).

The kernels are those of the network `rocket`, which are nobody's data; the judge differs from the network of that name
in that they stay as they are drawn, and only what lies on top is learned.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from collabdm.engine.workers import library_threads
from collabdm.judges.base import JudgeSpec, Learner
from collabdm.judges.families import Ridge
from collabdm.networks.convnet1d import series_shape
from collabdm.networks.rocket import RocketFeatures
from collabdm.randomness import Stream

__all__ = ["RocketRidge"]

# Series whose responses are in memory at once.
_CHUNK = 128


class RocketRidge(JudgeSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """`kernels` random kernels, two features of each, and on them a `ridge` judge of this `penalty`."""

    name: Literal["rocket-ridge"] = "rocket-ridge"
    kernels: Annotated[int, Field(ge=1, le=10_000)] = 512
    penalty: Annotated[float, Field(gt=0, le=1e9)] = 1.0

    drawn: ClassVar[bool] = True
    flat: ClassVar[bool] = False

    def learner(self, labels: np.ndarray, *, seed: int) -> Learner:
        """The kernels follow from the seed."""
        return _RocketRidge(self, Ridge(penalty=self.penalty).learner(labels, seed=seed), seed)

    def check(self, shape: tuple[int, ...]) -> None:
        """It takes series [C, L] alone."""
        series_shape(self.name, shape)


class _RocketRidge:
    def __init__(self, spec: RocketRidge, ridge: Learner, seed: int) -> None:
        self._spec, self._ridge, self._seed = spec, ridge, seed

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """Draw kernels for series of this shape [n, C, L], and learn the ridge on their features."""
        channels, length = series_shape(self._spec.name, X.shape[1:])
        self._features = RocketFeatures(channels, length, self._spec.kernels)
        self._features.load_state_dict(self._features.initial(Stream(self._seed, "rocket-ridge")))
        self._ridge.fit(self._seen(X), y)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels [m]."""
        return self._ridge.predict(self._seen(X))

    def _seen(self, series: np.ndarray) -> np.ndarray:
        """Features float64 [n, 2 kernels], the same on any number of threads."""
        chunks = torch.from_numpy(np.ascontiguousarray(series)).split(_CHUNK)
        with torch.no_grad(), library_threads(1):
            return torch.cat([self._features(chunk) for chunk in chunks]).double().numpy()
