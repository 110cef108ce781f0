"""Sums made into statistics, against plain numpy over the samples behind them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collabdm.matching.statistic import FIRST, MEAN, MOMENTS, SECOND, STATISTICS, Statistic, Term
from collabdm.matching.sums import Sums
from collabdm.randomness import Stream

D = 4
SEEDS = (2, 3, 7)


def _unused(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
    raise AssertionError("no loss here")


GRAM = Term(name="gram", of=lambda e: e.unsqueeze(2) * e.unsqueeze(1))
POWERS = Term(name="third and fourth", of=lambda e: torch.stack([e**3, e**4], dim=1))
TERMS = (FIRST, SECOND, GRAM, POWERS)


def plain(embeddings: np.ndarray, term: Term) -> np.ndarray:
    """A term's rows summed over the samples: [rows, d]."""
    if term is FIRST:
        return embeddings.sum(axis=0, keepdims=True)
    if term is SECOND:
        return (embeddings**2).sum(axis=0, keepdims=True)
    if term is GRAM:
        return embeddings.T @ embeddings
    assert term is POWERS
    return np.stack([(embeddings**3).sum(axis=0), (embeddings**4).sum(axis=0)])


def embedded(drawn: dict[int, int]) -> dict[tuple[int, int], np.ndarray]:
    """Embeddings by (seed, class), unrelated numbers."""
    return {(t, y): Stream(t, "sums", y).uniform((count, D), -2, 3) for t in SEEDS for y, count in drawn.items()}


def summed(terms: tuple[Term, ...], drawn: dict[int, int]) -> Sums:
    behind = embedded(drawn)
    values = [[np.concatenate([plain(behind[t, y], term) for term in terms]) for y in sorted(drawn)] for t in SEEDS]
    return Sums(terms=terms, seeds=SEEDS, drawn=drawn, values=np.array(values))


@given(
    summed_terms=st.permutations(TERMS),
    wanted=st.lists(st.sampled_from(TERMS), min_size=1, max_size=4, unique=True),
    drawn=st.dictionaries(st.integers(0, 9), st.integers(1, 5), min_size=1, max_size=4),
    pooled=st.booleans(),
)
def test_any_terms_of_any_sums_are_found_and_divided_by_the_samples(
    summed_terms: list[Term], wanted: list[Term], drawn: dict[int, int], pooled: bool
) -> None:
    sums = summed(tuple(summed_terms), drawn)
    before = sums.values.copy()
    got = sums.finished(Statistic(terms=tuple(wanted), loss=_unused, pooled=pooled))
    behind, order = embedded(drawn), sorted(drawn)
    groups = [order] if pooled else [[y] for y in order]
    rows = sum({FIRST: 1, SECOND: 1, GRAM: D, POWERS: 2}[term] for term in wanted)
    assert (got.dtype, got.shape) == (np.float32, (len(SEEDS), len(groups), rows, D))
    for row, t in enumerate(SEEDS):
        for group, classes in enumerate(groups):
            together = np.concatenate([behind[t, y] for y in classes])
            expected = np.concatenate([plain(together, term) for term in wanted]) / len(together)
            np.testing.assert_allclose(got[row, group], expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(sums.values, before)


@given(
    drawn=st.dictionaries(st.integers(0, 9), st.integers(1, 5), min_size=1, max_size=4),
    pooled=st.booleans(),
    order=st.permutations(TERMS),
)
def test_a_statistic_is_finished_of_the_means(drawn: dict[int, int], pooled: bool, order: list[Term]) -> None:
    statistic = Statistic(
        terms=MOMENTS.terms, loss=_unused, finish=MOMENTS.finish, additive=MOMENTS.additive, pooled=pooled
    )
    got = summed(tuple(order), drawn).finished(statistic)
    behind = embedded(drawn)
    for row, t in enumerate(SEEDS):
        groups = [[*sorted(drawn)]] if pooled else [[y] for y in sorted(drawn)]
        for group, classes in enumerate(groups):
            together = np.concatenate([behind[t, y] for y in classes])
            np.testing.assert_allclose(got[row, group, 0], together.mean(axis=0), rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(got[row, group, 1], together.var(axis=0), rtol=1e-4, atol=1e-5)


def test_a_pooled_mean_is_no_mean_of_means() -> None:
    drawn = {0: 1, 3: 5}
    pooled = summed((SECOND, FIRST), drawn).finished(Statistic(terms=(FIRST,), loss=_unused, pooled=True))
    by_class = summed((FIRST,), drawn).finished(MEAN)
    np.testing.assert_allclose(pooled[:, 0], (by_class[:, 0] + 5 * by_class[:, 1]) / 6, rtol=1e-5)
    assert not np.allclose(pooled[:, 0], by_class.mean(axis=1))


def test_classes_are_ascending_however_they_were_drawn() -> None:
    sums = summed((FIRST,), {5: 3, 1: 2})
    assert sums.classes == (1, 5)
    got = sums.finished(MEAN)
    for row, t in enumerate(SEEDS):
        np.testing.assert_allclose(got[row, 0, 0], embedded({1: 2})[t, 1].mean(axis=0), rtol=1e-5)


def test_no_terms_and_no_seeds_are_nothing_of_the_right_shape() -> None:
    nothing = Sums(terms=(), seeds=(), drawn={0: 2, 4: 1}, values=np.zeros((3, 2, 0, D)))
    assert nothing.finished(STATISTICS["none"]).shape == (3, 2, 0, D)
    assert summed((FIRST,), {0: 2}).finished(STATISTICS["none"]).shape == (3, 1, 0, D)
    never = Sums(terms=MOMENTS.terms, seeds=(), drawn={0: 2, 4: 1}, values=np.zeros((0, 2, 2, D)))
    assert never.finished(MOMENTS).shape == (0, 2, 2, D)
    assert never.finished(Statistic(terms=(FIRST,), loss=_unused, pooled=True)).shape == (0, 1, 1, D)


def test_a_term_that_was_not_summed_is_an_error() -> None:
    with pytest.raises(KeyError):
        summed((FIRST, GRAM), {0: 2}).finished(MOMENTS)
