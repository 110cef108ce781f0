"""The bound of one round: known values, the sums written out, and never above the truth by more than chance."""

import math

import numpy as np
import pytest

from collabdm.audit.one_run import epsilon_at_least, guesses, refuted


@pytest.mark.parametrize("guessed", [10, 50, 200])
def test_all_right_without_delta_is_a_power(guessed: int) -> None:
    # (e^eps / (1 + e^eps))^r = 0.05
    chance = 0.05 ** (1 / guessed)
    found = epsilon_at_least(guessed, guessed, count=guessed, delta=0.0)
    assert found == pytest.approx(math.log(chance / (1 - chance)), abs=1e-3)


def test_no_more_right_than_chance_refutes_nothing() -> None:
    assert epsilon_at_least(50, 100, count=200, delta=1e-5) == 0.0
    assert epsilon_at_least(0, 0, count=5, delta=1e-5) == 0.0
    assert epsilon_at_least(4, 4, count=4, delta=0.0) == 0.0  # four coins fall so by chance


@pytest.mark.parametrize(("right", "guessed", "delta"), [(70, 80, 1e-5), (30, 40, 1e-2), (90, 100, 1e-3)])
def test_the_bound_is_where_the_written_out_sum_crosses(right: int, guessed: int, delta: float) -> None:
    def slow(epsilon: float) -> float:
        q = math.exp(epsilon) / (1 + math.exp(epsilon))
        pmf = [math.comb(guessed, k) * q**k * (1 - q) ** (guessed - k) for k in range(guessed + 1)]
        worst = max(sum(pmf[right - i : right]) / i for i in range(1, right + 1))
        return sum(pmf[right:]) + 2 * 100 * delta * worst

    bound = epsilon_at_least(right, guessed, count=100, delta=delta)
    if bound == 0.0:
        assert slow(0.0) >= 0.05
    else:
        assert slow(bound) == pytest.approx(0.05, rel=1e-2)
    assert refuted(0.1, right, guessed, count=100, delta=delta, error=0.05) == (slow(0.1) < 0.05)


def test_randomised_response_is_refuted_above_its_epsilon_in_few_rounds_only() -> None:
    draw, epsilon, count = np.random.default_rng(0), 1.0, 400
    wrong = 0
    for _ in range(200):
        member = draw.random(count) < 0.5
        truthful = draw.random(count) < math.exp(epsilon) / (1 + math.exp(epsilon))
        scores = np.where(truthful, member, ~member) + 0.01 * draw.random(count)
        found = epsilon_at_least(guesses(scores, member, count), count, count=count, delta=0.0)
        wrong += found > epsilon
        assert found < 1.6
    assert wrong <= 20


def test_guesses_take_the_ends() -> None:
    member = np.array([True, False, False, True, True])
    assert guesses(np.array([5.0, 1.0, 2.0, 3.0, 4.0]), member, 4) == 4
    assert guesses(np.array([1.0, 5.0, 4.0, 3.0, 2.0]), member, 2) == 0
