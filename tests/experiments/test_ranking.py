"""Correlation of rankings against scipy and by hand, the regret of a choice, and how sure both are."""

import numpy as np
import pytest
from scipy import stats

from collabdm.experiments.ranking import ahead, bootstrap, ranks, regret, spearman, top, top_spearman
from collabdm.randomness import Stream


def scipys(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.asarray(stats.spearmanr(one, other))[0])


def drawn(seed: int, count: int, values: int) -> tuple[np.ndarray, np.ndarray]:
    """Two rankings with ties, as accuracies on few images have them."""
    one, other = Stream(seed, "rankings").integers(values, (2, count)) / values
    return one, np.round((one + other) / 2, 2)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks(np.array([0.5, 0.1, 0.5, 0.9, 0.5])).tolist() == [3.0, 1.0, 3.0, 5.0, 3.0]
    for seed in range(5):
        one, _ = drawn(seed, 40, 7)
        np.testing.assert_array_equal(ranks(one), stats.rankdata(one))


@pytest.mark.parametrize(("count", "values"), [(2, 1000), (5, 3), (60, 20), (720, 10_000)])
def test_spearman_is_scipys(count: int, values: int) -> None:
    one, other = drawn(count, count, values)
    assert spearman(one, other) == pytest.approx(scipys(one, other), abs=1e-12)


def test_spearman_of_known_orders() -> None:
    order = np.arange(9.0)
    assert spearman(order, np.exp(order)) == 1.0
    assert spearman(order, -order) == -1.0
    # By the formula for distinct ranks: 1 - 6 (1 + 1) / (4 * 15).
    assert spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 3.0, 4.0])) == pytest.approx(0.8)


@pytest.mark.parametrize("proxy", [[0.1, 0.1, 0.1], [0.1]])
def test_what_has_no_order_has_no_correlation(proxy: list[float]) -> None:
    full = np.arange(len(proxy), dtype=float)
    assert spearman(full, np.array(proxy)) is None
    assert spearman(np.array(proxy), full) is None


def test_the_top_is_by_training_on_all_data_and_the_best_of_equals_comes_first() -> None:
    full = np.array([0.3, 0.9, 0.5, 0.9, 0.5, 0.1])
    assert top(full, 3).tolist() == [1, 3, 2]
    proxy = np.array([0.9, 0.3, 0.4, 0.1, 0.2, 0.8])
    chosen = [1, 3, 2, 4]
    assert top_spearman(4)(full, proxy) == pytest.approx(scipys(full[chosen], proxy[chosen]))
    assert top_spearman(6)(full, proxy) == pytest.approx(scipys(full, proxy))
    assert top_spearman(7)(full, proxy) is None


def test_the_regret_is_what_the_choice_costs() -> None:
    full = np.array([0.6, 0.9, 0.8])
    assert regret(full, np.array([0.1, 0.3, 0.2])) == 0.0
    assert regret(full, np.array([0.3, 0.1, 0.2])) == pytest.approx(0.3)
    # Between two that come first one would have to draw.
    assert regret(full, np.array([0.3, 0.1, 0.3])) == pytest.approx(0.9 - 0.7)


def test_an_interval_is_that_of_scipys_bootstrap() -> None:
    one, other = drawn(3, 60, 1000)
    found = bootstrap(np.stack([one, other]), lambda both: spearman(*both), Stream(0, "test"))
    assert found is not None
    assert found.undefined == 0
    theirs = stats.bootstrap(
        (one, other),
        lambda a, b: scipys(a, b),
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        # As scipy before 1.15 calls it; later ones take it too, and do not say so to type checkers.
        random_state=np.random.default_rng(1),  # pyright: ignore[reportCallIssue]
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_resamples_without_an_order_are_left_out_and_counted() -> None:
    # Of two networks a resample has both half of the time.
    pair = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    found = bootstrap(pair, lambda both: spearman(*both), Stream(0, "test"))
    assert found is not None
    assert (found.low, found.high) == (1.0, 1.0)
    assert found.undefined == pytest.approx(1000 / 9, abs=40)
    flat = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])
    assert bootstrap(flat, lambda both: spearman(*both), Stream(0, "test")) is None
    one_apart = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.6]])
    found = bootstrap(one_apart, lambda both: spearman(*both), Stream(0, "test"))
    assert found is not None
    assert found.undefined == pytest.approx(1000 * (0.75**4 + 0.25**4), abs=60)


def test_one_is_ahead_of_another_among_the_same_networks() -> None:
    full = np.arange(30.0)
    close, far = full + 3 * np.sin(full), full + 40 * np.cos(7 * full)
    difference = ahead(spearman)
    expected = scipys(full, close) - scipys(full, far)
    assert difference(np.stack([full, close, far])) == pytest.approx(expected)
    assert difference(np.stack([full, close, close])) == 0.0
    assert difference(np.stack([full, close, np.zeros(30)])) is None
    # Resampled together, a ranking is never ahead of itself.
    same = bootstrap(np.stack([full, far, far]), difference, Stream(0, "test"))
    assert same is not None
    assert (same.low, same.high) == (0.0, 0.0)
