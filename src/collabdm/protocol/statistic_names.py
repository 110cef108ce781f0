"""Which statistics a plan asks for: one that is summed under every seed, and the Gram matrix of the plan's features."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from collabdm.matching.statistic import STATISTICS

__all__ = ["GRAM", "StatisticNames", "asks_gram", "per_seed"]

GRAM = "gram"

_NONE = "none"


def asks_gram(names: str | Sequence[str]) -> bool:
    """Whether the Gram matrix is among them."""
    return names == GRAM or (not isinstance(names, str) and GRAM in names)


def per_seed(names: str | Sequence[str]) -> str:
    """The name in `STATISTICS` of what is summed under every seed."""
    several = (names,) if isinstance(names, str) else names
    return next((name for name in several if name != GRAM), _NONE)


def _named(value: Any) -> str | tuple[str, ...]:
    """One name, several between commas, or a list of them; the statistic of the seeds comes first."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"one of {', '.join(STATISTICS)}, {GRAM}, or a list of two")
    names = [part.strip() for part in parts]
    for name in names:
        if name != GRAM and name not in STATISTICS:
            raise ValueError(f"one of {', '.join(STATISTICS)}, {GRAM}")
    seeds = [name for name in names if name != GRAM]
    if not names or len(set(names)) < len(names) or len(seeds) > 1:
        known = ", ".join(name for name in STATISTICS if name != _NONE)
        raise ValueError(f"at most one of {known}, with {GRAM} or without")
    if GRAM not in names:
        return seeds[0]
    return GRAM if seeds in ([], [_NONE]) else (seeds[0], GRAM)


StatisticNames = Annotated[str | tuple[str, ...], BeforeValidator(_named)]
"""A name from `STATISTICS`, or `gram`, or a tuple of both: a single name stays a text, as plans always had it."""
