"""The noise is normal, of the promised size, and nobody's to repeat."""

import numpy as np
import pytest
from scipy import stats

from collabdm.privacy.noise import gaussian, insecure_source, noisy, operating_system
from collabdm.privacy.opening import feature_noise
from collabdm.protocol import acceptance
from collabdm.protocol.sum_vector import added_sums, sum_layout
from private_plan import masked_plan, private_plan


def test_the_noise_is_normal() -> None:
    found = gaussian(200_000, insecure_source(3))
    # Kolmogorov and Smirnov; the seed is fixed, so the test is too.
    assert stats.kstest(found, "norm").pvalue > 0.01
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.01
    assert np.abs(found).max() > 4


def test_the_operating_systems_noise_does_not_repeat_and_a_seeds_does() -> None:
    assert not np.array_equal(gaussian(50), gaussian(50))
    assert len(operating_system(7)) == 7
    one, same, other = (gaussian(50, insecure_source(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_sums_get_the_noise_of_the_promise() -> None:
    plan = private_plan(privacy={"epsilon": 1.0, "delta": 1e-5, "samples": 1000})
    layout = sum_layout(plan, acceptance(plan))
    sums = np.linspace(-5, 400, layout.size)
    found = added_sums([noisy(plan, sums, insecure_source(0))], layout) - sums
    assert stats.kstest(found / 3.7306, "norm").pvalue > 0.01
    # Far from one another, so that rounding is small beside the noise.
    assert layout.step < 0.01 * 3.73


def test_central_noise_is_whole_in_the_sum_of_a_threshold_of_sites() -> None:
    plan, _ = masked_plan(
        ["a", "b", "c", "d", "e"], threshold=4, privacy={"epsilon": 1, "noise": "sum", "samples": 999}
    )
    layout = sum_layout(plan, acceptance(plan))
    sums = np.zeros(layout.size)
    parts = [noisy(plan, sums, insecure_source(seed)) for seed in range(4)]
    assert stats.kstest(added_sums(parts, layout) / 3.7306, "norm").pvalue > 0.01
    assert stats.kstest(added_sums(parts[:1], layout) / (3.7306 / 2), "norm").pvalue > 0.01
    # And of all five, that is what the teacher takes it for.
    scale = 2**0.5 * layout.weights["gram"] / layout.features
    assert feature_noise(plan, 5) * scale == pytest.approx(3.7306 * (5 / 4) ** 0.5, abs=1e-3)
