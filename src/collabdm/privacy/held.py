"""Classes of which a site holds too few samples: what it sends of them would be those samples."""

from collections.abc import Mapping

import numpy as np

from collabdm.data.samples import Samples

__all__ = ["enough_held", "few_text", "too_few"]


def too_few(samples: Samples, least: int) -> dict[str, int]:
    """The classes of which there are some samples, but fewer than `least`, and how many."""
    held = zip(samples.classes, samples.counts().tolist(), strict=True)
    return {name: count for name, count in held if 0 < count < least}


def few_text(few: Mapping[str, int]) -> str:
    """What `too_few` found, for people: at most twelve classes with their counts."""
    named = [f"{name} ({count})" for name, count in list(few.items())[:12]]
    return ", ".join(named) + (f" and {len(few) - 12} more" if len(few) > 12 else "")


def enough_held(samples: Samples, least: int) -> Samples:
    """The samples of the classes of which there are at least `least`, in their order.

    The mean embedding of a single sample under a known encoder is enough to tell which sample it is, and a local set of
    one sample is that sample.
    """
    few = samples.counts() < least
    if not few[samples.labels].any():
        return samples
    return samples.take(np.flatnonzero(~few[samples.labels]))
