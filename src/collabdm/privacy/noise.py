"""Gaussian noise from the operating system's generator, which nobody can repeat."""

import os
from collections.abc import Callable

import numpy as np

from collabdm.privacy.accountant import noise_multiplier
from collabdm.protocol import Plan, acceptance
from collabdm.protocol.sum_vector import sum_layout, whole_sums
from collabdm.randomness import Stream

__all__ = ["Source", "gaussian", "insecure_source", "noisy", "operating_system"]

Source = Callable[[int], bytes]
"""So many random bytes."""

# So many normal numbers are added for one: from the sum of several, the low bits of a float give no value away
# (Holohan and Braghin 2021).
_ADDED = 4


def operating_system(count: int) -> bytes:
    """Random bytes that nobody can foresee or repeat."""
    return os.urandom(count)


def insecure_source(seed: int) -> Source:
    """Bytes that whoever knows the seed can repeat: the noise made of them hides nothing. For tests and studies."""
    stream = Stream(seed, "insecure noise")
    return lambda count: stream.raw(-(-count // 8)).tobytes()[:count]


def gaussian(count: int, source: Source = operating_system) -> np.ndarray:
    """`count` independent standard normal numbers, float64."""
    total = np.zeros(count)
    for _ in range(_ADDED):
        bits = np.frombuffer(source(16 * count), dtype="<u8").reshape(2, count)
        radius, turn = _uniform(bits)
        # Box and Muller's method.
        total += np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * turn)
    return total / np.sqrt(_ADDED)


def noisy(plan: Plan, sums: np.ndarray, source: Source = operating_system) -> np.ndarray:
    """Bounded sums, float64 [n], with the site's noise, as they travel: integers modulo 2^24.

    That is the whole noise of the plan's promise, or with `privacy.noise = "sum"` the share that `masks.threshold`
    sites add up to it. Rounding comes after the noise, so it reveals no more.
    """
    assert plan.privacy is not None
    multiplier = noise_multiplier(plan.privacy.epsilon, plan.privacy.delta) / plan.noise_shares**0.5
    return whole_sums(sums + multiplier * gaussian(len(sums), source), sum_layout(plan, acceptance(plan)))


def _uniform(bits: np.ndarray) -> np.ndarray:
    """Numbers in (0, 1], of 53 bits each: their logarithm is finite."""
    return ((bits >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53
