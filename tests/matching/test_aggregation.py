"""Rules against plain loops over coordinates, and what they promise whatever one participant sends."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from collabdm.config import ServerSpec
from collabdm.matching.aggregation import ESTIMATORS, FEWEST, PLAIN, Rule, clipped, combined
from collabdm.randomness import Stream

Values = list[list[list[float]]]
TRIMMED = Rule(aggregation="trimmed")
RULES = [PLAIN, TRIMMED, Rule(aggregation="trimmed", trim=0.4), Rule(clip=1.0), Rule(aggregation="trimmed", clip=1.3)]
PARTS, D = 2, 5


def _drawn(seed: int, n: int) -> tuple[Tensor, Tensor]:
    """Values of either sign whose participants differ in size, and whole-numbered weights."""
    stream = Stream(seed, "aggregation")
    scale = np.exp(stream.uniform((n, 1, 1), -2, 2))
    values = scale * stream.uniform((n, PARTS, D), -1, 2)
    return torch.from_numpy(values), torch.from_numpy(1.0 + stream.integers(999, n))


def _slow(values: Values, weights: Sequence[float], rule: Rule) -> list[list[float]]:
    n = len(values)
    if n >= 3 and rule.clip is not None:
        values = [_slow_clip(values, i, rule.clip) for i in range(n)]
    drop = 0
    if n >= 3 and rule.aggregation == "trimmed":
        drop = max(1, math.floor(rule.trim * n))
    result = []
    for part in range(PARTS):
        row = []
        for j in range(D):
            pairs = sorted((values[i][part][j], weights[i]) for i in range(n))[drop : n - drop]
            row.append(sum(v * w for v, w in pairs) / sum(w for _, w in pairs))
        result.append(row)
    return result


def _slow_clip(values: Values, i: int, most: float) -> list[list[float]]:
    def norm(vector: list[float]) -> float:
        return math.sqrt(sum(x * x for x in vector))

    clipped_parts = []
    for part in range(PARTS):
        norms = sorted(norm(one[part]) for one in values)
        middle = len(norms) // 2
        median = norms[middle] if len(norms) % 2 else (norms[middle - 1] + norms[middle]) / 2
        own = norm(values[i][part])
        factor = most * median / own if own > most * median else 1.0
        clipped_parts.append([factor * x for x in values[i][part]])
    return clipped_parts


@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 11))
def test_rules_are_the_plain_loops(rule: Rule, seed: int, n: int) -> None:
    values, weights = _drawn(seed, n)
    expected = _slow(values.tolist(), weights.tolist(), rule)
    np.testing.assert_allclose(combined(values, weights, rule).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_every_name_of_a_rule_is_an_entry_of_the_table() -> None:
    assert set(ESTIMATORS) == {"mean", "trimmed"}
    for name in ESTIMATORS:
        assert ServerSpec(aggregation=name).rule.aggregation == name
    with pytest.raises(ValidationError, match="one of mean, trimmed"):
        ServerSpec(aggregation="median")


@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(7)))
def test_the_order_of_participants_does_not_matter(rule: Rule, seed: int, order: list[int]) -> None:
    values, weights = _drawn(seed, 7)
    first, second = combined(values, weights, rule), combined(values[order], weights[order], rule)
    torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(FEWEST, 12),
    lie=st.lists(st.floats(-1e6, 1e6), min_size=PARTS * D, max_size=PARTS * D),
    weight=st.floats(1, 1e9),
    trim=st.floats(1e-9, 0.499999999),
    data=st.data(),
)
def test_one_participant_cannot_leave_the_range_of_the_others(
    seed: int, n: int, lie: list[float], weight: float, trim: float, data: st.DataObject
) -> None:
    values, weights = _drawn(seed, n)
    liar = data.draw(st.integers(0, n - 1))
    honest = values[[i for i in range(n) if i != liar]]
    values[liar], weights[liar] = torch.tensor(lie, dtype=torch.float64).view(PARTS, D), weight
    got = combined(values, weights, Rule(aggregation="trimmed", trim=trim))
    assert bool((got >= honest.amin(dim=0) - 1e-9).all())
    assert bool((got <= honest.amax(dim=0) + 1e-9).all())


@pytest.mark.parametrize(
    ("n", "trim", "liars"), [(10, 0.2, 2), (10, 0.3, 3), (100, 0.29, 29), (5, 0.45, 2), (4, 0.49, 1)]
)
def test_as_many_liars_as_are_trimmed_are_harmless_and_one_more_is_not(n: int, trim: float, liars: int) -> None:
    values, weights = _drawn(1, n)
    rule = Rule(aggregation="trimmed", trim=trim)
    values[:liars] = 1e6
    highest = values[liars:].amax(dim=0)
    assert bool((combined(values, weights, rule) <= highest).all())
    values[liars] = 1e6
    assert bool((combined(values, weights, rule) > highest).all())


@given(seed=st.integers(0, 10**6), n=st.integers(1, FEWEST - 1))
def test_of_fewer_than_three_every_rule_is_the_mean_to_the_bit(seed: int, n: int) -> None:
    values, weights = _drawn(seed, n)
    for rule in RULES:
        assert torch.equal(combined(values, weights, rule), combined(values, weights, PLAIN))


@given(seed=st.integers(0, 10**6), n=st.integers(FEWEST, 12), most=st.floats(1, 5))
def test_clipping_shortens_to_the_bound_or_changes_nothing(seed: int, n: int, most: float) -> None:
    values, _ = _drawn(seed, n)
    shorter = clipped(values, most)
    before, after = (torch.linalg.vector_norm(v, dim=-1) for v in (values, shorter))
    bound = most * torch.from_numpy(np.median(before.numpy(), axis=0))
    assert bool((after <= before * (1 + 1e-12)).all())
    assert bool((after <= bound * (1 + 1e-12)).all())
    within = before <= bound
    assert torch.equal(shorter[within], values[within])
    cosines = torch.nn.functional.cosine_similarity(values, shorter, dim=-1)
    torch.testing.assert_close(cosines, torch.ones_like(cosines))


def test_clipping_leaves_zeros_alone() -> None:
    values = torch.zeros(4, 1, 3, dtype=torch.float64)
    values[0] = 7.0
    # Most participants send nothing, so nothing is what anyone may send.
    assert torch.equal(clipped(values, 2.0), torch.zeros_like(values))


def test_a_rule_knows_whether_it_protects() -> None:
    assert [rule.protects for rule in RULES] == [False, True, True, True, True]
