"""Contributions that are at hand as objects, held against the plan that they are said to answer.

What travels is checked when it is decoded; these may never have travelled, or be answers to another plan.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from collabdm.checking import Checker
from collabdm.errors import ContributionError, explain
from collabdm.matching.gram import FeatureMoments
from collabdm.protocol.acceptance import PAIR_BYTES, Acceptance, acceptance
from collabdm.protocol.answer import Contribution
from collabdm.protocol.pairs import check_pairs
from collabdm.protocol.plan import Plan
from collabdm.protocol.stored import StoredInOrder
from collabdm.protocol.sum_vector import BITS, sum_layout

__all__ = ["checked_answers"]


def checked_answers(plan: Plan, contributions: Iterable[Contribution]) -> Sequence[Contribution]:
    """The contributions in sorted order, each of which answers this plan; stored ones were checked when they were read,
    and are read again when they are looked at. Raises `ContributionError`."""
    if isinstance(contributions, StoredInOrder):
        return contributions
    received, fix = [], "pass a list of what contribute or decode_contribution returned"
    if isinstance(contributions, Contribution | Mapping | str | bytes) or not isinstance(contributions, Iterable):
        got = f"a single {name}" if (name := type(contributions).__name__) == "Contribution" else name
        raise ContributionError(explain("contributions", got=got, expected="a list of contributions", fix=fix))
    for one in contributions:
        if not isinstance(one, Contribution):
            got = f"a {type(one).__name__} among them"
            raise ContributionError(explain("contributions", got=got, expected="a list of contributions", fix=fix))
        received.append(one)
    known, seen, expected = set(plan.clients), set(), acceptance(plan)
    seeds = _seeds_of_clients(plan)
    for one in received:
        check = Checker(f"contribution of {one.client}")
        check.that(isinstance(one.client, str) and one.client in known, "a client that the plan does not name", "one")
        double = sorted(seen & set(one.stands_for))
        check.that(one.client not in seen, "two of that client", "one of each")
        check.that(not double, f"client {', '.join(double[:5])} in it, who is in another one", "every client once")
        seen.update(one.stands_for)
        if plan.privacy is None:
            _check_contribution(plan, one, seeds[one.client], expected, check)
        else:
            _check_sums(plan, one, expected, check)
    if plan.masks is not None:
        check_pairs(plan, received)
    return sorted(received, key=lambda one: one.client)


def _seeds_of_clients(plan: Plan) -> Mapping[str, int]:
    """How many seeds each client is assigned: `len(plan.assigned(client))`, for all at once."""
    if plan.participants_per_seed == len(plan.clients):
        return dict.fromkeys(plan.clients, plan.seeds)
    return Counter(client for t in range(plan.seeds) for client in plan.participants(t))


def _check_sums(plan: Plan, one: Contribution, expected: Acceptance, check: Checker) -> None:
    same = one.fingerprint == expected.fingerprint
    check.that(same, f"encoder fingerprint {one.fingerprint}", f"{expected.fingerprint}, an answer to this very plan")
    check.that(isinstance(one.sums, np.ndarray), "no sums", "the sums that a plan with plan.privacy asks for")
    assert one.sums is not None
    check.integers(one.sums, "sums", (sum_layout(plan, expected).size,), 2**BITS)
    ordered = one.stands_for == tuple(sorted({*one.stands_for} & {*plan.clients})) and one.stands_for[0] == one.client
    check.that(ordered, f"sites {one.stands_for[:5]}", "clients of the plan, sorted, of which client is the first")
    check.that(
        (one.pairs is not None) == (plan.masks is not None), "pairs", "pairs where the plan has masks, and only there"
    )
    if one.pairs is not None:
        check.form(one.pairs, "pairs", (len(plan.clients), PAIR_BYTES), np.dtype(np.uint8))


def _check_contribution(plan: Plan, one: Contribution, seeds: int, expected: Acceptance, check: Checker) -> None:
    """What `decode_contribution` sees to, of a contribution that may never have travelled."""
    same = one.fingerprint == expected.fingerprint
    check.that(same, f"encoder fingerprint {one.fingerprint}", f"{expected.fingerprint}, an answer to this very plan")
    for name in ("held", "statistics", "samples", "labels"):
        given = getattr(one, name)
        check.that(isinstance(given, np.ndarray), f"{name} of type {type(given).__name__}", "a NumPy array")
    whole, single, classes, plural = np.dtype(np.int64), np.dtype(np.float32), len(plan.classes), plan.sample.plural
    check.form(one.held, "held", (classes,), whole)
    check.that(bool((one.held >= 0).all() and one.held.any()), "no or negative counts in held", "at least one sample")
    groups, rows = plan.statistic.groups(len(one.classes_held)), plan.statistic.rows(expected.features)
    check.form(one.statistics, "statistics", (seeds, groups, rows, expected.features), single)
    check.form(one.labels, "labels", (one.labels.size,), whole)
    check.form(one.samples, plural, (len(one.labels), *plan.sample.shape), single)
    inside = (one.labels >= 0) & (one.labels < classes)
    check.that(bool(inside.all()), "labels out of range", f"0 <= labels < {classes}")
    check.that(bool((one.held[one.labels] > 0).all()), f"{plural} of a class it does not hold", "only held classes")
    gram = _gram_parts(one, expected, check) if plan.features else ()
    for name, values in (("statistics", one.statistics), (plural, one.samples), *gram):
        # Extremes alone tell: NaN propagates through them.
        extremes = values.min(initial=0), values.max(initial=0)
        check.that(bool(np.isfinite(extremes).all()), f"NaN or infinity in {name}", "finite numbers")


def _gram_parts(one: Contribution, expected: Acceptance, check: Checker) -> list[tuple[str, np.ndarray]]:
    check.that(isinstance(one.gram, FeatureMoments), "no gram", "the second-order statistic that the plan asks for")
    assert one.gram is not None
    d, parts = expected.gram_features, [("gram.means", one.gram.means), ("gram.scatter", one.gram.scatter)]
    for (name, values), rows in zip(parts, (len(one.classes_held), d), strict=True):
        check.that(values.shape == (rows, d), f"{name}{list(values.shape)}", f"{[rows, d]}")
    return parts
