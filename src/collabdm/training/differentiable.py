"""A classifier as a function of its parameters, for distillation that differentiates through its training.

Gradients of gradients need torch's own operations; first gradients, of real data, run on the engine's fast path.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.engine import Engine
from collabdm.modality import Augmentation, Modality
from collabdm.networks import Network, NetworkSpec, applied, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.training.loop import loss_gradient
from collabdm.training.training_set import TrainingSet

__all__ = ["Differentiable", "Parameters"]

Parameters = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Differentiable:
    """A network for such samples under an engine; its parameters are arguments."""

    spec: NetworkSpec
    sample: Modality
    classes: int
    engine: Engine

    def fresh(self, stream: Stream) -> Parameters:
        """Initial parameters, on the engine's device in the dtype of samples."""
        drawn = initial_parameters(self.network, stream)
        return {name: value.to(self.engine.device, self.engine.sample_dtype) for name, value in drawn.items()}

    @property
    def network(self) -> Network:
        """The network without values."""
        return _network(self.spec, self.sample.shape, self.classes)

    def loss(
        self,
        parameters: Mapping[str, Tensor],
        samples: Tensor,
        targets: Tensor,
        augmentation: Augmentation | None = None,
    ) -> Tensor:
        """Mean cross-entropy of samples, differentiable as often as wanted in everything.

        `targets`: labels int64 [n], or probabilities [n, classes].
        """
        apply = _applied(self.spec, self.sample.shape, self.classes)
        return functional.cross_entropy(apply(parameters, self.sample.augment(samples, augmentation)), targets)

    def gradient(
        self,
        parameters: Mapping[str, Tensor],
        training: TrainingSet,
        rows: np.ndarray,
        augmentation: Augmentation | None = None,
    ) -> tuple[Parameters, float]:
        """Gradient of the mean cross-entropy at the parameters, without a graph, and the mean; fast."""
        return loss_gradient(
            parameters,
            training,
            rows,
            self.spec,
            classes=self.classes,
            augmentation=augmentation,
            engine=self.engine,
        )

    def gradient_with_graph(
        self,
        parameters: Mapping[str, Tensor],
        samples: Tensor,
        targets: Tensor,
        augmentation: Augmentation | None = None,
    ) -> Parameters:
        """The same gradient, to be differentiated further in samples, targets and parameters."""
        leaves = {
            name: value if value.requires_grad else value.detach().requires_grad_()
            for name, value in parameters.items()
        }
        with torch.enable_grad():
            loss = self.loss(leaves, samples, targets, augmentation)
            gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        return dict(zip(leaves, gradients, strict=True))


@lru_cache(maxsize=16)
def _network(spec: NetworkSpec, shape: tuple[int, ...], classes: int) -> Network:
    return build_network(spec, shape, classes)


@lru_cache(maxsize=16)
def _applied(spec: NetworkSpec, shape: tuple[int, ...], classes: int) -> Callable[..., Tensor]:
    return applied(_network(spec, shape, classes), threads=True)
