"""The noise of a promise, against the formula that it must satisfy."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.errors import ConfigError
from collabdm.privacy.accountant import epsilon_of, noise_multiplier


def delta_of(multiplier: float, epsilon: float) -> float:
    """Balle and Wang 2018, theorem 8, for a move of length one."""
    near, far = 1 / (2 * multiplier) - epsilon * multiplier, -1 / (2 * multiplier) - epsilon * multiplier
    return _normal(near) - math.exp(epsilon) * _normal(far)


def _normal(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2))


@given(epsilon=st.floats(0.05, 20), delta=st.sampled_from([1e-3, 1e-5, 1e-7]))
def test_the_noise_is_the_least_that_keeps_the_promise(epsilon: float, delta: float) -> None:
    multiplier = noise_multiplier(epsilon, delta)
    assert delta_of(multiplier, epsilon) == pytest.approx(delta, rel=1e-3)
    assert epsilon_of(multiplier, delta) == pytest.approx(epsilon, rel=1e-3)


def test_known_values() -> None:
    assert noise_multiplier(1.0, 1e-5) == pytest.approx(3.7306, abs=1e-4)
    assert noise_multiplier(10.0, 1e-5) == pytest.approx(0.49989, abs=1e-5)


def test_without_the_accountant_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(ConfigError, match=r'dp-accounting is not installed.*pip install "collabdm\[privacy\]"'):
        noise_multiplier(1.0, 1e-5)
