"""Additivity, inverses, and losses against torch.std and plain loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collabdm.matching.statistic import (
    DIRECTION,
    FIRST,
    MEAN,
    MOMENTS,
    SECOND,
    STATISTICS,
    Statistic,
    Term,
    joint_terms,
    term_rows,
)
from collabdm.randomness import Stream

every = pytest.mark.parametrize("name", STATISTICS)


def embeddings(n: int, d: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Stream(seed, "embeddings").uniform((n, d), -3, 4))


def central_of(samples: torch.Tensor) -> torch.Tensor:
    return torch.stack([samples.mean(0), samples.var(0, correction=0)])


def test_single_samples_have_their_value_and_its_square() -> None:
    samples = embeddings(3)
    rows = torch.cat([term.of(samples) for term in MOMENTS.terms], dim=1)
    assert torch.equal(rows[:, 0], samples)
    assert torch.equal(rows[:, 1], samples**2)


@every
def test_finish_undoes_additive(name: str) -> None:
    statistic = STATISTICS[name]
    parts = torch.from_numpy(Stream(1).uniform((2, 4, len(statistic.terms), 3), 0.1, 2))
    torch.testing.assert_close(statistic.finish(statistic.additive(parts)), parts)


@every
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_weighted_sums_over_clients_are_those_over_all_data(name: str, counts: list[int], seed: int) -> None:
    statistic = STATISTICS[name]
    samples = embeddings(sum(counts), seed=seed)
    clients = [statistic.additive(_travelling(statistic, part)) * len(part) for part in samples.split(counts)]
    pooled = statistic.finish(torch.stack(clients).sum(0) / len(samples))
    expected = _travelling(statistic, samples)
    if set(statistic.terms) <= set(MOMENTS.terms):
        expected = central_of(samples)[[MOMENTS.terms.index(term) for term in statistic.terms]]
    torch.testing.assert_close(pooled, expected, rtol=1e-9, atol=1e-9)


def _travelling(statistic: Statistic, samples: torch.Tensor) -> torch.Tensor:
    """The statistic of these samples as it is sent: [rows, d]."""
    means = [term.of(samples).mean(dim=0) for term in statistic.terms]
    return statistic.finish(torch.cat(means)) if means else torch.empty(0, samples.shape[1], dtype=samples.dtype)


def test_directions_are_of_length_one_and_their_loss_is_the_distance_of_their_means_in_features_of_size_one() -> None:
    real, synthetic = embeddings(6, seed=1), embeddings(4, seed=2)

    def by_hand(one: torch.Tensor) -> torch.Tensor:
        return (one - one.mean()) / (one - one.mean()).norm()

    (term,) = DIRECTION.terms
    torch.testing.assert_close(term.of(real)[:, 0], torch.stack([by_hand(one) for one in real]))
    target = torch.stack([by_hand(one) for one in real]).mean(0, keepdim=True)
    expected = (target[0] - torch.stack([by_hand(one) for one in synthetic]).mean(0)).square().sum()
    torch.testing.assert_close(DIRECTION.loss(target, 6, synthetic), real.shape[1] * expected)
    # A sample of which the encoder says one number throughout says nothing, and breaks nothing.
    assert torch.equal(term.of(torch.full((1, 5), 3.0)), torch.zeros(1, 1, 5))


def test_rounding_never_gives_a_negative_variance() -> None:
    parts = torch.tensor([[3.0], [9.0 - 1e-12]], dtype=torch.float64)
    assert MOMENTS.finish(parts)[1].item() == 0


def test_mean_loss_is_the_squared_distance() -> None:
    samples, target = embeddings(4), embeddings(7, seed=1)
    expected = sum(float(target[:, j].mean() - samples[:, j].mean()) ** 2 for j in range(5))
    loss = STATISTICS["mean"].loss(central_of(target)[:1], 7, samples)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


@given(st.integers(2, 9), st.integers(2, 9))
def test_moments_loss_is_that_of_torch_std(drawn: int, n: int) -> None:
    real, synthetic = embeddings(drawn, seed=1), embeddings(n, seed=2)
    expected = (real.mean(0) - synthetic.mean(0)).square().sum() + (real.std(0) - synthetic.std(0)).square().sum()
    torch.testing.assert_close(MOMENTS.loss(central_of(real), drawn, synthetic), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("drawn", "n"), [(1, 5), (5, 1), (1, 1)])
def test_below_two_samples_only_the_mean_counts(drawn: int, n: int) -> None:
    target, synthetic = central_of(embeddings(drawn, seed=1)), embeddings(n, seed=2).requires_grad_()
    loss = MOMENTS.loss(target, drawn, synthetic)
    assert float(loss.detach()) == float(STATISTICS["mean"].loss(target[:1], drawn, synthetic).detach())
    (gradient,) = torch.autograd.grad(loss, synthetic)
    assert torch.isfinite(gradient).all()


def test_constant_features_pass_no_nan() -> None:
    synthetic = embeddings(4)
    synthetic[:, 0] = 2.0
    synthetic.requires_grad_()
    target = central_of(embeddings(6, seed=1))
    target[:, 1] = 0.0
    loss = MOMENTS.loss(target, 6, synthetic)
    (gradient,) = torch.autograd.grad(loss, synthetic)
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(gradient).all()
    # Only the mean moves the constant feature.
    expected = -2 * (target[0, 0] - 2.0) / 4
    torch.testing.assert_close(gradient[:, 0], expected.expand(4))


@pytest.mark.parametrize("name", ["mean", "moments"])
def test_loss_gradients(name: str) -> None:
    statistic = STATISTICS[name]
    target = central_of(embeddings(6, seed=1))[: len(statistic.terms)]
    synthetic = embeddings(3, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: statistic.loss(target, 6, e), (synthetic,))
    same = embeddings(6, seed=1)
    assert float(statistic.loss(target, 6, same)) == pytest.approx(0, abs=1e-20)


GRAM = Term(name="gram", of=lambda e: e.unsqueeze(2) * e.unsqueeze(1))
POWERS = Term(name="powers", of=lambda e: torch.stack([e, e**2, e**3], dim=1))


def statistic_of(*terms: Term, pooled: bool = False) -> Statistic:
    return Statistic(terms=terms, loss=MEAN.loss, pooled=pooled)


def test_joint_terms_are_each_once_in_the_order_of_first_mention() -> None:
    assert joint_terms([]) == ()
    assert joint_terms([STATISTICS["none"]]) == ()
    assert joint_terms([MEAN, MOMENTS]) == joint_terms([MOMENTS, MEAN]) == (FIRST, SECOND)
    assert joint_terms(iter([statistic_of(GRAM, SECOND), MOMENTS])) == (GRAM, SECOND, FIRST)
    # Pooled or not, what is summed is the same.
    assert joint_terms([statistic_of(FIRST, pooled=True), MEAN]) == (FIRST,)


@given(st.lists(st.lists(st.sampled_from([FIRST, SECOND, GRAM, POWERS]), max_size=4, unique=True), max_size=4))
def test_joint_terms_are_the_plain_loop(chosen: list[list[Term]]) -> None:
    expected: list[Term] = []
    for terms in chosen:
        for term in terms:
            if term not in expected:
                expected.append(term)
    assert joint_terms(statistic_of(*terms) for terms in chosen) == tuple(expected)


@pytest.mark.parametrize("features", [1, 5, 2048])
def test_rows_are_those_of_the_terms_and_cost_no_memory(features: int) -> None:
    assert term_rows([], features) == 0
    assert term_rows(iter([FIRST, SECOND]), features) == 2
    assert term_rows([GRAM], features) == features
    assert term_rows([POWERS, GRAM, FIRST], features) == 3 + features + 1
    assert MOMENTS.rows(features) == 2
    assert statistic_of(GRAM, SECOND).rows(features) == features + 1


def test_a_pooled_statistic_has_one_group_where_there_is_anything() -> None:
    assert [MEAN.groups(classes) for classes in (0, 1, 7)] == [0, 1, 7]
    assert [statistic_of(FIRST, pooled=True).groups(classes) for classes in (0, 1, 7)] == [0, 1, 1]
