"""Random Fourier features (Rahimi and Recht 2007): a fixed feature map for rows of numbers; the additive teacher's
default for tables. Nobody's data went into it."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from collabdm.networks.base import Initialised, Network, feature_body
from collabdm.randomness import Stream

__all__ = ["FourierFeatures", "random_features"]

# From the lowest to the highest, each feature a little more than the one before: low ones tell where a class is, high
# ones where within it its rows lie. Measured on held-out training rows (docs/tables.md).
_LOWEST, _HIGHEST = 2.0, 10.0

# Sums of so many uniform numbers are near enough to normal, and are the same to the bit on every machine.
_DRAWS = 12

# What is drawn is rounded to it, so that arithmetic in another order leaves it the same.
_GRAIN = 2.0**-12


def random_features(shape: tuple[int, ...], classes: int, *, width: int = 512, norm: str = "none") -> Network:
    """`width` features of a row, whatever the shape of a sample: it is flattened. `norm`: as `feature_body` has it."""
    features = nn.Sequential(nn.Flatten(), FourierFeatures(math.prod(shape), width))
    return Network(feature_body("random-features", features, norm), width, classes)


class FourierFeatures(Initialised):
    """sqrt(2 / K) cos(w x + b), [n, D] to [n, K]: their product for two rows is a mixture of Gaussian kernels."""

    def __init__(self, features: int, width: int) -> None:
        """`features`: the length D of a row; `width`: the number K of features."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, features))
        self.bias = nn.Parameter(torch.empty(width))

    def initial(self, stream: Stream) -> dict[str, Tensor]:
        """`weight`: about normal, of variance f**2 / D with f from 2 to 10; `bias`: uniform over a turn."""
        weight, bias = _drawn(int(stream.raw(1)[0]), *self.weight.shape)
        return {"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())}

    def forward(self, samples: Tensor) -> Tensor:
        """Rows [n, D] to features [n, K]."""
        turned = nn.functional.linear(samples, self.weight.to(samples.dtype), self.bias.to(samples.dtype))
        return math.sqrt(2 / len(self.bias)) * torch.cos(turned)


@lru_cache(maxsize=8)
def _drawn(seed: int, width: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights float32 [width, features] and phases float32 [width], multiples of `_GRAIN`."""
    stream = Stream(seed, "random features")
    normal = np.zeros((width, features))
    for _ in range(_DRAWS):
        normal += stream.uniform((width, features), -0.5, 0.5)
    shares = np.linspace(0, 1, width)[:, None] if width > 1 else np.zeros((1, 1))
    weight = normal * (_LOWEST * (_HIGHEST / _LOWEST) ** shares / math.sqrt(features))
    phase = stream.uniform(width, 0.0, 2 * math.pi)
    return tuple((np.rint(part / _GRAIN) * _GRAIN).astype(np.float32) for part in (weight, phase))  # pyright: ignore
