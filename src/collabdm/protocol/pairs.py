"""What two sites say of the secret between them, held against each other: whether their masks will cancel."""

from collections.abc import Sequence

import numpy as np

from collabdm.errors import ContributionError, explain
from collabdm.protocol.answer import Contribution
from collabdm.protocol.plan import Plan

__all__ = ["check_pairs", "joined"]

_MOST_NAMED = 5


def joined(pairs: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """These rows of uint8 [clients, 16] as one, bit by bit (exclusive or)."""
    return np.bitwise_xor.reduce(pairs[list(rows)], axis=0)


def check_pairs(plan: Plan, contributions: Sequence[Contribution]) -> None:
    """Raise `ContributionError` naming the first two contributions that do not say the same of what is between them.

    Then one of them masked with another key than the plan's, or what it sent was altered, and their masks would not
    cancel. Of combined contributions, all secrets between the two groups are compared at once.
    """
    number = {name: k for k, name in enumerate(plan.clients)}
    members = [[number[name] for name in one.stands_for] for one in contributions]
    if not members:
        return
    order, starts = np.concatenate(members), np.cumsum([0, *map(len, members[:-1])])
    said = np.stack([np.bitwise_xor.reduceat(_pairs(one)[order], starts, axis=0) for one in contributions])
    differs = (said != said.transpose(1, 0, 2)).any(axis=2)
    np.fill_diagonal(differs, val=False)
    if differs.any():
        first, second = (_named(contributions[k]) for k in np.argwhere(differs)[0])
        fix = "ask both whether they used the key that is in the plan, and to contribute again"
        what, got = f"contributions of {first} and {second}", "masks that do not cancel"
        raise ContributionError(explain(what, got=got, expected="masks from one secret that both share", fix=fix))


def _pairs(one: Contribution) -> np.ndarray:
    assert one.pairs is not None
    return one.pairs


def _named(one: Contribution) -> str:
    more = ", ..." if len(one.stands_for) > _MOST_NAMED else ""
    return ", ".join(one.stands_for[:_MOST_NAMED]) + more
