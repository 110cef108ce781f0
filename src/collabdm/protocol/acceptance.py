"""What every contribution to a plan is held against: both sides derive it from the plan alone."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from collabdm.networks import Network, build_network, initial_parameters
from collabdm.protocol.gram import gram_bytes
from collabdm.protocol.plan import Plan
from collabdm.randomness import Stream

__all__ = [
    "LONGEST_HEADER",
    "PAIR_BYTES",
    "SUM_BYTES",
    "Acceptance",
    "acceptance",
    "feature_parameters",
    "fingerprint",
    "parameters_fingerprint",
    "quartered",
]

LONGEST_HEADER = 2**20
SUM_BYTES = 3
"""Of one number of the sums that a plan with a promise of privacy asks for."""
PAIR_BYTES = 16
"""Of what two sites with masks say of the secret between them."""


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """The encoder's `features` (d, the length of one embedding) and `fingerprint`, and the `largest` file, in bytes,
    that an honest client could send in any encoding: no more need be read of an answer. `gram_features`: d of the
    feature map of the Gram matrix, 0 where the plan has none; `gram_quartered`: as of `quartered`."""

    features: int
    gram_features: int
    gram_quartered: bool
    fingerprint: str
    largest: int


def acceptance(plan: Plan) -> Acceptance:
    """What contributions to `plan` must be like."""
    features = build_network(plan.network, plan.sample.shape, classes=1).features
    classes, samples = len(plan.classes), len(plan.classes) * plan.local_per_class
    vectors = plan.seeds * plan.statistic.groups(classes) * plan.statistic.rows(features)
    # One float more a vector, for its scale.
    floats = vectors * (features + 1) + samples * math.prod(plan.sample.shape)
    largest = 8 + LONGEST_HEADER + 8 * (classes + samples) + 4 * floats
    gram_features, gram_quartered = 0, quartered(plan)
    if plan.features is not None and plan.gram_bits is not None:
        gram_features = _feature_map(plan).features
        largest += gram_bytes(classes, gram_features, plan.gram_bits)
    if plan.privacy is not None:
        numbers = classes * (1 + plan.seeds * features + gram_features) + gram_features * (gram_features + 1) // 2
        largest = 8 + LONGEST_HEADER + SUM_BYTES * numbers
        # A combined contribution also numbers the sites that it stands for.
        largest += len(plan.clients) * (8 + (PAIR_BYTES if plan.masks is not None else 0))
    return Acceptance(
        features=features,
        gram_features=gram_features,
        gram_quartered=gram_quartered,
        fingerprint=fingerprint(plan),
        largest=largest,
    )


def quartered(plan: Plan) -> bool:
    """Whether the moments of the plan's feature map travel as contrasts (`FeatureMoments.contrasts`)."""
    return plan.features is not None and _feature_map(plan).quartered


def fingerprint(plan: Plan) -> str:
    """SHA-256 of the parameters of the first encoder, and of the feature map if there is one, in hex, which both sides
    derive."""
    network = build_network(plan.network, plan.sample.shape, classes=1)
    parameters = initial_parameters(network, Stream(plan.encoder_seed(0), "encoder"), embedding=True)
    named = {name: value.numpy() for name, value in parameters.items()}
    named |= {f"features.{name}": value.numpy() for name, value in feature_parameters(plan).items()}
    return parameters_fingerprint(named)


def feature_parameters(plan: Plan) -> dict[str, Tensor]:
    """The parameters of the plan's feature map, float32 by name; none where it asks for no Gram matrix."""
    if plan.features is None:
        return {}
    return initial_parameters(_feature_map(plan), plan.feature_stream, embedding=True)


def _feature_map(plan: Plan) -> Network:
    assert plan.features is not None
    return build_network(plan.features, plan.sample.shape, classes=1)


def parameters_fingerprint(parameters: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and little-endian float32 values, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters.items()):
        digest.update(f"{name}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value, dtype="<f4").tobytes())
    return digest.hexdigest()
