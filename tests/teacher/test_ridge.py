"""The ridge classifier and its penalty, against scikit-learn and against leaving samples out."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference

from collabdm.matching.equations import normal_equations
from collabdm.matching.gram import FeatureSums
from collabdm.teacher import ridge
from collabdm.teacher.ridge import _PENALTIES

D, N, CLASSES = 12, 90, 3


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, N)
    centres = rng.normal(size=(CLASSES, D))
    features = (rng.normal(size=(N, D)) + centres[labels]) * rng.uniform(0.1, 30, D) + 5
    features[:, 3] = 2.5
    return features, labels


def sums_of(features: np.ndarray, labels: np.ndarray) -> FeatureSums:
    onehot = np.eye(CLASSES)[labels]
    return FeatureSums(counts=onehot.sum(axis=0), first=onehot.T @ features, second=features.T @ features)


def test_the_equations_are_those_of_standardised_features(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    found = normal_equations(sums_of(features, labels))
    varies = np.arange(D) != 3
    z = np.zeros_like(features)
    z[:, varies] = (features[:, varies] - features[:, varies].mean(axis=0)) / features[:, varies].std(axis=0)
    t = np.eye(CLASSES)[labels] - np.bincount(labels, minlength=CLASSES) / N
    np.testing.assert_allclose(found.gram, z.T @ z / N, atol=1e-9)
    np.testing.assert_allclose(found.cross, z.T @ t / N, atol=1e-9)
    assert found.spread == pytest.approx((t * t).sum() / N)
    assert found.scale[3] == np.inf, "a constant feature"


def test_it_is_the_ridge_classifier_of_all_data(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    found = ridge(normal_equations(sums_of(features, labels)))
    spread = features.std(axis=0)
    spread[3] = 1
    model = Reference(alpha=N * found.penalty).fit((features - features.mean(axis=0)) / spread, np.eye(CLASSES)[labels])
    expected = model.predict((features - features.mean(axis=0)) / spread)
    np.testing.assert_allclose(features @ found.weight + found.bias, expected, atol=1e-6)


@pytest.mark.parametrize("held", [N, 30, D, 8])
def test_the_penalty_has_the_least_generalised_cross_validation_error(
    held: int, data: tuple[np.ndarray, np.ndarray]
) -> None:
    """Also of fewer samples than features, all of which a small penalty explains."""
    features, labels = data[0][:held], data[1][:held]
    equations = normal_equations(sums_of(features, labels))
    found = ridge(equations)
    z = np.where(np.isinf(equations.scale), 0, (features - equations.mean) / equations.scale)
    t = np.eye(CLASSES)[labels] - equations.share
    slow = []
    for penalty in _PENALTIES:
        hat = z @ np.linalg.solve(z.T @ z / held + penalty * np.eye(D), z.T) / held + 1 / held
        residual = t - hat @ t
        slow.append((residual**2).sum() / held / (1 - np.trace(hat) / held) ** 2)
    assert found.penalty == _PENALTIES[np.argmin(slow)]
    assert found.error == pytest.approx(min(slow) / equations.spread, rel=1e-6)


@pytest.mark.parametrize("rounding", [0.0, 1e-5, 0.03, 5.0, 1e4])
def test_no_penalty_below_the_rounding_is_tried(rounding: float, data: tuple[np.ndarray, np.ndarray]) -> None:
    sums = sums_of(*data)
    exact = ridge(normal_equations(sums)).penalty
    allowed = _PENALTIES[min(rounding, 10.0) <= _PENALTIES]
    assert ridge(normal_equations(sums, rounding=rounding)).penalty == max(exact, allowed[0])


def test_more_features_than_samples_are_no_obstacle(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data[0][:8], data[1][:8]
    found = ridge(normal_equations(sums_of(features, labels)))
    assert np.isfinite(found.weight).all()
    assert found.penalty > _PENALTIES[0]


def test_one_class_alone_is_always_found() -> None:
    features = np.random.default_rng(1).normal(size=(20, D))
    found = ridge(normal_equations(sums_of(features, np.full(20, 2))))
    assert ((features @ found.weight + found.bias).argmax(axis=1) == 2).all()
