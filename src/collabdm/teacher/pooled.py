"""From the contributions of a round to the teacher: the ridge classifier of all data."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from collabdm.config import ServerSpec
from collabdm.errors import ConfigError, explain
from collabdm.matching.equations import NormalEquations, normal_equations
from collabdm.matching.gram import added
from collabdm.networks import build_network
from collabdm.privacy.opening import feature_noise, opened, sites_in
from collabdm.protocol import Contribution, Plan, feature_parameters
from collabdm.protocol.stored import in_order
from collabdm.teacher.ridge import Ridge, ridge
from collabdm.teacher.teacher import sharpness_of

__all__ = ["check_rule", "pooled_equations", "teacher_parameters", "teacher_views"]

# Of a parameter: ten times as much would be refused in a classifier file.
_LARGEST = 1e5


def check_rule(plan: Plan, spec: ServerSpec) -> None:
    """Raise `ConfigError` where the plan has the Gram matrix, and the server's settings do not go with it: a rule
    against hostile participants, or the teacher's term with steps class by class.

    Sites differ in their Gram matrices because they hold other classes; a rule that drops what differs would drop them.
    """
    if plan.privacy is not None and spec.rule.protects:
        got, fix = "a rule with plan.privacy", "set server.aggregation=mean and leave server.clip out"
        expected = "none: the sites' sums are opened together, and noise hides what a rule would look at"
        raise ConfigError(explain("server.aggregation", got=got, expected=expected, fix=fix))
    if plan.features is None:
        return
    if spec.rule.protects:
        got, fix = "a rule with the statistic gram", "ask for a plan without gram, or set server.aggregation=mean"
        if spec.clip is not None:
            fix += " and leave server.clip out"
        expected = "none: nothing protects the sum of second moments of sites that hold different classes"
        raise ConfigError(explain("server.aggregation", got=got, expected=expected, fix=fix))
    if spec.teacher and spec.step == "per-class":
        got, fix = "per-class with the teacher's term", "set server.step to joint, or server.teacher to 0"
        raise ConfigError(explain("server.step", got=got, expected="joint", fix=fix))


def pooled_equations(plan: Plan, contributions: Iterable[Contribution]) -> NormalEquations:
    """The normal equations of the samples of all clients, one after another in sorted order.

    Every sample counts alike, but for those that a client holds beyond `plan.most_held` of a class.
    """
    received = in_order(contributions)
    ordered = opened(plan, received)
    parts = (one.gram.sums(_counted(plan, one)) for one in ordered if one.gram is not None)
    noise, rounding = feature_noise(plan, sites_in(received)), _rounding(plan, ordered)
    return normal_equations(added(parts), noise, rounding=rounding)


def teacher_parameters(plan: Plan, equations: NormalEquations) -> tuple[dict[str, Tensor], Ridge]:
    """The feature map with the ridge classifier as its last layer, as parameters of the network `plan.features`:
    float32 by name; and the classifier itself.

    The last layer is as sharp as the teacher's logits are, so that their softmax is a belief: the scores themselves lie
    between 0 and 1, and the softmax of many of these is near uniform.
    """
    found = ridge(equations)
    longest = max(float(np.abs(value).max()) for value in (found.weight, found.bias))
    sharp = min(sharpness_of(equations, found.error), _LARGEST / max(longest, np.finfo(np.float32).tiny))
    last = {"classifier.weight": sharp * found.weight.T, "classifier.bias": sharp * found.bias}
    placed = {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in last.items()}
    return feature_parameters(plan) | placed, found


def teacher_views(plan: Plan) -> tuple[str, ...]:
    """The operations under all of whose views of a sample the teacher is asked (`Modality.views`): those that the sums
    average over, because the feature map sees them."""
    if plan.features is None:
        return ()
    return build_network(plan.features, plan.sample.shape, classes=1).changed_by(plan.sample.viewed(plan.augment))


def _rounding(plan: Plan, contributions: Iterable[Contribution]) -> float:
    """The variance that rounding left in a feature's diagonal: of half as many entries of a root as there are features,
    on average, each evenly within half a step; over clients as their shares of the samples."""
    if plan.features is None or plan.gram_bits is None or plan.privacy is not None:
        return 0.0
    counts = np.array([float(_counted(plan, one).sum()) for one in contributions if one.gram is not None])
    features = build_network(plan.features, plan.sample.shape, classes=1).features
    step = 1 / (2 ** (plan.gram_bits - 1) - 1)
    return features / 2 * step**2 / 12 * float((counts**2).sum() / counts.sum() ** 2)


def _counted(plan: Plan, one: Contribution) -> np.ndarray:
    return one.held if plan.most_held is None else np.minimum(one.held, plan.most_held)
