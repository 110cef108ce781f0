"""From the sites' noisy sums to what a round goes on with: one contribution, as if a single site held everything."""

from collections.abc import Sequence

import numpy as np

from collabdm.errors import ContributionError, explain
from collabdm.matching.gram import FeatureMoments, FeatureSums
from collabdm.privacy.accountant import noise_multiplier
from collabdm.privacy.complete import check_complete
from collabdm.protocol import Contribution, Plan, acceptance
from collabdm.protocol.stored import StoredInOrder
from collabdm.protocol.sum_vector import SumLayout, added_sums, sum_layout

__all__ = ["feature_noise", "opened", "sites_in"]

# In standard deviations of the noise: a class of which the noisy count is below may be one that nobody holds.
_CERTAIN = 4.0
# Noise itself does not reach so far in any round: what lies beyond is no sum of so many samples.
_IMPOSSIBLE = 10.0


def opened(plan: Plan, contributions: Sequence[Contribution]) -> Sequence[Contribution]:
    """`contributions` as they are, or where the plan makes a promise, what all of them say together.

    Everything here is computed from what was released, so it reveals no more. A class whose noisy count does not stand
    out from the noise counts as held by nobody.
    Raises `QuorumError` where masks do not cancel for want of a site, `ContributionError` where they do not cancel in
    spite of all sites.
    """
    if plan.privacy is None or not contributions or contributions[0].sums is None:
        return contributions
    check_complete(plan, contributions)
    layout, sites = sum_layout(plan, acceptance(plan)), sites_in(contributions)
    total = added_sums([one.sums for one in contributions if one.sums is not None], layout)
    _check_possible(plan, total, sites)
    parts = {name: total[place] / max(layout.weights[name], 1e-12) for name, place in layout.slices.items()}
    spread = _noise(plan, sites) / layout.weights["counts"]
    counts = np.where(parts["counts"] > max(_CERTAIN * spread, 1.0), parts["counts"], 0.0)
    held = np.rint(counts).astype(np.int64)
    present = np.flatnonzero(held)
    means = parts["means"].reshape(layout.seeds, layout.classes, 1, layout.width)[:, present]
    return [
        Contribution(
            client=plan.clients[0],
            held=held,
            statistics=(means / counts[present, None, None]).astype(np.float32),
            samples=np.zeros((0, *plan.sample.shape), np.float32),
            labels=np.zeros(0, np.int64),
            fingerprint=contributions[0].fingerprint,
            gram=_gram(parts, layout, counts, present) if plan.features is not None else None,
        )
    ]


def sites_in(contributions: Sequence[Contribution]) -> int:
    """How many sites' data are in them: a combined one stands for several."""
    if isinstance(contributions, StoredInOrder):
        return len(contributions)
    return sum(len(one.stands_for) for one in contributions)


def feature_noise(plan: Plan, sites: int) -> float:
    """The standard deviation of the noise in a number off the diagonal of the sum of outer products of features, in
    the features' own scale, where every site of `sites` added its own; 0 without a promise."""
    if plan.privacy is None:
        return 0.0
    layout = sum_layout(plan, acceptance(plan))
    return _noise(plan, sites) / layout.weights["gram"] / 2**0.5 * layout.features


def _noise(plan: Plan, sites: int) -> float:
    assert plan.privacy is not None
    return noise_multiplier(plan.privacy.epsilon, plan.privacy.delta) * (sites / plan.noise_shares) ** 0.5


def _check_possible(plan: Plan, total: np.ndarray, sites: int) -> None:
    """Raise `ContributionError` where a sum is none: masks that did not cancel leave numbers of any size."""
    assert plan.privacy is not None
    if plan.masks is None or not total.size:
        return
    most, largest = plan.privacy.samples + _IMPOSSIBLE * _noise(plan, sites), float(np.abs(total).max())
    if largest > most:
        got, expected = f"a number of {largest:.3g}", f"at most {most:.3g} (plan.privacy.samples, and noise)"
        fix = "hold a new round: a site masked otherwise than it said, or all hold more samples than the plan allows"
        raise ContributionError(explain("sum of all sites", got=got, expected=expected, fix=fix))


def _gram(
    parts: dict[str, np.ndarray], layout: SumLayout, counts: np.ndarray, present: np.ndarray
) -> FeatureMoments | None:
    """In the features' own scale, in which a vector's length is the root of their number."""
    d = layout.features
    upper = np.triu_indices(d)
    second = np.zeros((d, d))
    second[upper] = parts["gram"] / np.where(upper[0] == upper[1], 1.0, 2.0**0.5)
    second = second + np.triu(second, 1).T
    first = np.where(counts[:, None] > 0, parts["features"].reshape(layout.classes, d), 0.0)
    if not len(present):
        return None
    return FeatureSums(counts=counts, first=first * d**0.5, second=second * d).moments()
