"""Sums of several sites as one contribution: exact, of the size of one, and combined again as often as one likes."""

from collections.abc import Iterable, Sequence

import numpy as np

from collabdm.errors import ConfigError, ContributionError, explain
from collabdm.protocol import Contribution, Plan, checked_answers, summed_contribution
from collabdm.protocol.sum_vector import BITS

__all__ = ["combine"]


def combine(plan: Plan, contributions: Iterable[Contribution]) -> Contribution:
    """The contributions of two sites or more, or of groups of sites, added: it stands for all of them in the round.

    A relay needs no secrets for it, and where the plan has masks it reads nothing: the masks towards sites outside stay
    on the sum. Raises `ConfigError` where the plan asks for more than sums, `ContributionError` where one does not
    answer this plan, or a site would be counted twice.
    """
    if plan.privacy is None:
        fix = "send each contribution to the server as it is"
        raise ConfigError(explain("plan", got="no plan.privacy", expected="one that asks for sums alone", fix=fix))
    parts = checked_answers(plan, contributions)
    if len(parts) < 2:
        fix = "pass the contributions of several sites"
        raise ContributionError(explain("contributions to combine", got=len(parts), expected="two or more", fix=fix))
    if any(one.unmasked for one in parts):
        got, fix = "one of which masks were taken off", "combine contributions as they came"
        raise ContributionError(explain("contributions to combine", got=got, expected="whole ones", fix=fix))
    sites = tuple(sorted(name for one in parts for name in one.stands_for))
    total = np.sum([one.sums for one in parts if one.sums is not None], axis=0) % 2**BITS
    insecure = tuple(sorted(name for one in parts for name in one.insecure))
    return summed_contribution(plan, sites[0], total, pairs=_pairs(plan, parts, sites), sites=sites, insecure=insecure)


def _pairs(plan: Plan, parts: Sequence[Contribution], sites: tuple[str, ...]) -> np.ndarray | None:
    """What is between the group and each site outside; what is within it was held against each other already."""
    if plan.masks is None:
        return None
    found = np.bitwise_xor.reduce(np.stack([one.pairs for one in parts if one.pairs is not None]), axis=0)
    found[[plan.clients.index(name) for name in sites]] = 0
    return found
