"""The additive teacher against what a user would write: its features by torch's layers, and scikit-learn's ridge."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from collabdm.client import contribute
from collabdm.data import Samples
from collabdm.engine import Engine
from collabdm.planning import engine_for, make_plan
from collabdm.protocol import Plan, decode_contribution, encode_contribution, feature_parameters
from collabdm.teacher import Ridge, pooled_equations, teacher_parameters
from collabdm.training.loop import logits
from peer.table import Row, Side
from peer.work import Work, alternately, settings

__all__ = ["learned", "plain_features", "plain_ridge", "rows", "said"]

# The fastest of 25, 100 and 500: what is in between then stays in the processor's cache.
_BATCH = 25


def rows(work: Work) -> list[Row]:
    """One site that holds all data: its answer, its bytes and the classifier, against all features at once."""
    data = work.dataset
    config = settings("collabdm", plan_statistics="gram", plan_seeds=0, plan_augment="none", local_method="none")
    plan = make_plan(config, clients=["all"], preset=data.preset)
    engine = engine_for(config, plan)
    parameters, found = learned(plan, data.train, engine)
    penalty = found.penalty * len(data.train)
    fitted = plain_ridge(plan, data.train, penalty)

    mine, plain = alternately(
        lambda: learned(plan, data.train, engine),
        lambda: plain_ridge(plan, data.train, penalty),
        work.sizes.repeats,
    )
    ours, theirs = said(plan, parameters, data.test), fitted(data.test)
    right = [float((given == data.test.labels).mean()) for given in (theirs, ours)]
    size = len(found.weight)
    told = (
        f"{size:,} features; the two say the same of {(ours == theirs).mean():.2%} of {len(data.test):,} test samples, "
        f"and of {_alike_unrounded(work, plan, engine):.2%} where nothing is rounded to the {plan.gram_bits} bits a "
        f"number that travel. Theirs holds all features ({4 * size * len(data.train) / 1e6:.0f} MB) and is given the "
        "penalty; ours holds a block of them and the Gram matrix, encodes what a site sends, and finds the penalty"
    )
    return [
        Row(
            work=f"ridge classifier of {len(data.train):,} samples",
            theirs=Side(name="torch and scikit-learn", seconds=plain, dtype="float32", accuracy=right[0]),
            ours=Side(name="analytic", seconds=mine, dtype=engine.dtype, accuracy=right[1]),
            told=told,
        )
    ]


def _alike_unrounded(work: Work, plan: Plan, engine: Engine) -> float:
    """The share of test samples of which both say the same, when the server gets the site's sums as they are.

    Theirs in float64: the penalty may then be so small that float32 cannot solve for fewer samples than features.
    """
    data = work.dataset
    sent = contribute(plan, plan.clients[0], data.train, engine=engine)
    parameters, found = teacher_parameters(plan, pooled_equations(plan, [sent]))
    fitted = plain_ridge(plan, data.train, found.penalty * len(data.train), np.float64)
    return float((said(plan, parameters, data.test) == fitted(data.test)).mean())


def learned(plan: Plan, samples: Samples, engine: Engine) -> tuple[dict[str, Tensor], Ridge]:
    """What the server has after a round with the one site of the plan."""
    sent = contribute(plan, plan.clients[0], samples, engine=engine)
    received = decode_contribution(encode_contribution(sent, plan), plan)
    return teacher_parameters(plan, pooled_equations(plan, [received]))


def said(plan: Plan, parameters: dict[str, Tensor], test: Samples) -> np.ndarray:
    """The classes that the teacher sees in stored samples."""
    assert plan.features is not None
    found = logits(
        parameters, test.values, plan.features, classes=len(plan.classes), sample=plan.sample, engine=Engine()
    )
    return found.argmax(dim=1).numpy()


def plain_ridge(
    plan: Plan, samples: Samples, penalty: float, dtype: type[np.floating[Any]] = np.float32
) -> Callable[[Samples], np.ndarray]:
    """All features, standardised, and a ridge classifier on them in `dtype`; what it says of other samples."""
    weight = feature_parameters(plan)["body.weight"]

    def features(given: Samples) -> np.ndarray:
        shown = plan.sample.tensors(given.values, device="cpu", dtype=torch.float32)
        return torch.cat([plain_features(weight, some) for some in shown.split(_BATCH)]).numpy().astype(dtype)

    model: Pipeline = make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty))
    model.fit(features(samples), samples.labels)
    return lambda given: model.predict(features(given))


def plain_features(weight: Tensor, images: Tensor) -> Tensor:
    """The feature map `patches` by torch's layers: what filters say of unit-contrast patches, on both sides of a
    threshold, averaged over a 2x2 grid."""
    side = weight.shape[-1]
    mean, square = (
        functional.avg_pool2d(part.mean(dim=1, keepdim=True), side, stride=1) for part in (images, images**2)
    )
    response = functional.conv2d(images, weight) / torch.sqrt((square - mean**2).clamp_min(0) + 0.04**2)
    parts = [functional.adaptive_avg_pool2d(functional.relu(one - 0.5), 2) for one in (response, -response)]
    return torch.cat(parts, dim=1).flatten(1)
