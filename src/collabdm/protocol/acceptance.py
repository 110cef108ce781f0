"""What every contribution to a plan is held against: both sides derive it from the plan alone."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from collabdm.networks import build_network, initial_parameters
from collabdm.protocol.plan import Plan
from collabdm.randomness import Stream

__all__ = ["LONGEST_HEADER", "Acceptance", "acceptance", "fingerprint", "parameters_fingerprint"]

LONGEST_HEADER = 2**20


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """The encoder's `features` (d, the length of one embedding) and `fingerprint`, and the `largest` file, in bytes,
    that an honest client could send in any encoding: no more need be read of an answer."""

    features: int
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
    return Acceptance(features=features, fingerprint=fingerprint(plan), largest=largest)


def fingerprint(plan: Plan) -> str:
    """SHA-256 of the first encoder's parameters, in hex, which both sides derive."""
    network = build_network(plan.network, plan.sample.shape, classes=1)
    parameters = initial_parameters(network, Stream(plan.encoder_seed(0), "encoder"), embedding=True)
    return parameters_fingerprint({name: value.numpy() for name, value in parameters.items()})


def parameters_fingerprint(parameters: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and little-endian float32 values, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters.items()):
        digest.update(f"{name}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value, dtype="<f4").tobytes())
    return digest.hexdigest()
