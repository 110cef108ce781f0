"""The ridge classifier of all data as a network that can be asked, and differentiated with respect to samples."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from collabdm.engine import Engine
from collabdm.matching.embedding import Embedder, embedder_for
from collabdm.matching.equations import NormalEquations
from collabdm.protocol import Plan, feature_parameters
from collabdm.teacher.ridge import ridge

__all__ = ["Teacher", "sharpness_of", "teacher_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """The feature map under an engine, the ridge classifier on it, how sharply its scores tell classes apart, and the
    `equations` that it solves.

    `weight` [d, classes] and `bias` [classes] are on the engine's device, in the dtype of its samples.
    """

    embedder: Embedder
    parameters: dict[str, Tensor]
    weight: Tensor
    bias: Tensor
    sharpness: float
    equations: NormalEquations

    def logits(self, samples: Tensor) -> Tensor:
        """Of samples as networks see them [n, *shape]: [n, classes], whose softmax is the teacher's belief."""
        return self.said(self.embedder.embed(self.parameters, samples))

    def linearised(self, samples: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The features of samples [n, *shape], [n, d], and the way back from a gradient at them to one at the
        samples."""
        return self.embedder.linearised(self.parameters, samples, [len(samples)], [lambda shown: shown])

    def said(self, features: Tensor) -> Tensor:
        """The logits of features [n, d]; differentiable."""
        return self.sharpness * (features @ self.weight + self.bias)


def teacher_of(plan: Plan, equations: NormalEquations, engine: Engine) -> Teacher:
    """The teacher of the plan's feature map, ready for the engine."""
    assert plan.features is not None
    embedder, found = embedder_for(plan.features, plan.sample.shape, engine), ridge(equations)
    weight, bias = (
        torch.from_numpy(value).to(engine.device, engine.sample_dtype) for value in (found.weight, found.bias)
    )
    return Teacher(
        embedder=embedder,
        parameters=embedder.placed(feature_parameters(plan)),
        weight=weight,
        bias=bias,
        sharpness=sharpness_of(equations, found.error),
        equations=equations,
    )


def sharpness_of(equations: NormalEquations, error: float) -> float:
    """What scores are multiplied by to be logits, from the sums alone; `error`: of the ridge classifier.

    Of classes that are Gaussian with one covariance and equally frequent (p each), least squares gives
    scores that are the discriminants of the Bayes classifier times p (1 - R^2), where 1 - R^2 is the share of the
    labels' variance that is left: the cross-validated error.
    """
    return int((equations.share > 0).sum()) / max(error, 1e-6)
