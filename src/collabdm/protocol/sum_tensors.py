"""The tensors of an answer of which nothing but sums is sent: made, and checked against the plan."""

from collections.abc import Mapping

import numpy as np

from collabdm.checking import Checker
from collabdm.protocol.acceptance import PAIR_BYTES, Acceptance
from collabdm.protocol.answer import Contribution, summed_contribution
from collabdm.protocol.plan import Plan
from collabdm.protocol.sum_vector import packed_sums, sum_layout, unpacked_sums

__all__ = ["of_sums", "sum_tensors"]


def sum_tensors(contribution: Contribution, plan: Plan) -> dict[str, np.ndarray]:
    """All that is sent of sums."""
    assert contribution.sums is not None
    assert not contribution.unmasked, "masks were taken off it"
    tensors = {"sums": packed_sums(contribution.sums)}
    if plan.masks is not None:
        assert contribution.pairs is not None
        tensors["pairs"] = np.ascontiguousarray(contribution.pairs)
    for name, clients in (("sites", contribution.sites), ("insecure", contribution.insecure)):
        if clients:
            tensors[name] = np.array([plan.clients.index(client) for client in clients], np.int64)
    return tensors


def of_sums(
    tensors: Mapping[str, np.ndarray], client: str, plan: Plan, expected: Acceptance, check: Checker
) -> Contribution:
    """An answer to a plan with a promise of privacy, of which nothing but sums is sent."""
    names, whose = {"sums"} | ({"pairs"} if plan.masks is not None else set()), "plan.privacy"
    whose += " and plan.masks" if plan.masks is not None else ""
    wanted = f"{' and '.join(sorted(names, reverse=True))}, and nothing else ({whose})"
    check.that(set(tensors) - {"sites", "insecure"} == names, sorted(tensors)[:8], wanted)
    whole = unpacked_sums(tensors["sums"], sum_layout(plan, expected), check)
    sites = _sites(tensors["sites"], client, plan, check) if "sites" in tensors else ()
    pairs = None
    if plan.masks is not None:
        pairs = tensors["pairs"]
        check.form(pairs, "pairs", (len(plan.clients), PAIR_BYTES), np.dtype(np.uint8))
        own = [plan.clients.index(name) for name in sites or (client,)]
        check.that(not pairs[own].any(), "pairs of a site with itself", "zeros there")
    insecure = _insecure(tensors["insecure"], sites or (client,), plan, check) if "insecure" in tensors else ()
    return summed_contribution(plan, client, whole, pairs=pairs, sites=sites, insecure=insecure)


def _sites(found: np.ndarray, client: str, plan: Plan, check: Checker) -> tuple[str, ...]:
    """Whose sums are in a combined contribution: two clients of the plan or more, of which `client` is the first."""
    numbers = _numbers(found, "sites", plan, check)
    expected = "two numbers of clients or more, ascending, the first that of client"
    ascending = len(numbers) > 1 and numbers == sorted(set(numbers)) and plan.clients[numbers[0]] == client
    check.that(ascending, f"sites {numbers[:8]}", expected)
    return tuple(plan.clients[number] for number in numbers)


def _insecure(found: np.ndarray, sites: tuple[str, ...], plan: Plan, check: Checker) -> tuple[str, ...]:
    """Which of the `sites` whose sums these are say that their noise can be taken off."""
    numbers = _numbers(found, "insecure", plan, check)
    among = [plan.clients.index(name) for name in sites]
    right = bool(numbers) and numbers == sorted(set(numbers) & set(among))
    check.that(right, f"insecure {numbers[:8]}", "numbers of the clients whose sums these are, ascending")
    return tuple(plan.clients[number] for number in numbers)


def _numbers(found: np.ndarray, name: str, plan: Plan, check: Checker) -> list[int]:
    """Numbers of clients of the plan."""
    return check.integers(found, name, (len(found) if found.ndim == 1 else -1,), len(plan.clients)).tolist()
