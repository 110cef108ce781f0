"""Which clients take part at which seed (Algorithm 1, line 4), drawn from the plan's seed alone."""

from functools import lru_cache

import numpy as np

from collabdm.randomness import Stream

__all__ = ["seeds_of", "taking_part"]

# Of one plan at most so many numbers are kept, 8 bytes each; of a larger one each client's are drawn again.
_MOST_KEPT = 10**7


def taking_part(seed: int, t: int, clients: int, participants: int) -> np.ndarray:
    """The numbers of the clients that take part at seed t, ascending: int64 [participants]."""
    return np.sort(Stream(seed, "participants", t).choose(clients, participants))


def seeds_of(seed: int, seeds: int, clients: int, participants: int, number: int) -> tuple[int, ...]:
    """The t at which client `number` takes part, ascending."""
    if seeds * participants <= _MOST_KEPT:
        return tuple(np.flatnonzero((_all(seed, seeds, clients, participants) == number).any(axis=1)).tolist())
    return tuple(t for t in range(seeds) if number in taking_part(seed, t, clients, participants))


@lru_cache(maxsize=2)
def _all(seed: int, seeds: int, clients: int, participants: int) -> np.ndarray:
    """int64 [seeds, participants]. Of a thousand clients each asks for its own, several times."""
    found = np.empty((seeds, participants), np.int64)
    for t in range(seeds):
        found[t] = taking_part(seed, t, clients, participants)
    return found
