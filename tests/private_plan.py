"""A small plan with a promise, and samples for it."""

from typing import Any

import numpy as np

from collabdm.data import Samples
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from reference import small_plan

PROMISE: dict[str, Any] = {
    "statistics": ["direction", "gram"],
    "features": {"name": "patches", "width": 4, "norm": "layer"},
    "gram_bits": 8,
    "local": {"method": "none"},
    "privacy": {"epsilon": 1.0, "delta": 1e-5},
}


def private_plan(**changes: Any) -> Plan:
    return small_plan(**PROMISE | changes)


def images(plan: Plan, count: int, seed: int = 0) -> Samples:
    stream = Stream(seed, "private images")
    return Samples(
        values=stream.integers(256, (count, *plan.sample.shape)).astype(np.uint8),
        labels=stream.integers(len(plan.classes), count).astype(np.int64),
        classes=plan.classes,
    )
