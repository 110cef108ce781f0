"""A small plan with a promise, with and without masks, and samples for it."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from collabdm.data import Samples
from collabdm.privacy.keys import SiteKey
from collabdm.protocol import Contribution, Plan, acceptance
from collabdm.protocol.sum_vector import BITS, sum_layout
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


def mask_keys(names: Sequence[str]) -> tuple[dict[str, SiteKey], dict[str, str]]:
    """Each site's key, always the same, and the public halves."""
    keys = {name: SiteKey(client=name, private=hashlib.sha256(name.encode()).digest()) for name in names}
    return keys, {name: key.public for name, key in keys.items()}


def masked_plan(
    names: Sequence[str] = ("ada", "bob", "cid"), *, threshold: int = 2, **changes: Any
) -> tuple[Plan, dict[str, SiteKey]]:
    keys, public = mask_keys(names)
    masks = {"threshold": threshold, "keys": public}
    return private_plan(**{"clients": sorted(names), "masks": masks} | changes), keys


def sums_size(plan: Plan) -> int:
    return sum_layout(plan, acceptance(plan)).size


def whole(plan: Plan, seed: int, site: int) -> np.ndarray:
    """Any integers that a site may have for its sums."""
    return Stream(seed, "whole sums", site).integers(2**BITS, sums_size(plan))


def total(contributions: Sequence[Contribution]) -> np.ndarray:
    """The sum of all that was sent, modulo 2^24."""
    return np.sum([one.sums for one in contributions if one.sums is not None], axis=0) % 2**BITS
