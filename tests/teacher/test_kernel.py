"""The kernel-inducing-points loss from sums, against the direct one on the data."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.matching.equations import normal_equations
from collabdm.matching.gram import FeatureSums, added
from collabdm.teacher.kernel import kernel_loss

D, CLASSES = 9, 4


def data(seed: int, count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    return rng.normal(size=(count, D)) * rng.uniform(0.1, 5, D) + rng.normal(size=(CLASSES, D))[labels], labels


def sums_of(features: np.ndarray, labels: np.ndarray) -> FeatureSums:
    onehot = np.eye(CLASSES)[labels]
    return FeatureSums(counts=onehot.sum(axis=0), first=onehot.T @ features, second=features.T @ features)


def direct(features: np.ndarray, labels: np.ndarray, made: np.ndarray, targets: np.ndarray, penalty: float) -> float:
    """Kernel ridge regression on the set, tested on every sample of the data."""
    mean, spread, share = features.mean(axis=0), features.std(axis=0), np.bincount(labels, minlength=CLASSES)
    share = share / len(labels)
    z, x = (made - mean) / spread, (features - mean) / spread
    kernel = z @ z.T
    coefficients = np.linalg.solve(kernel + penalty * np.diagonal(kernel).mean() * np.eye(len(z)), targets - share)
    predicted = x @ z.T @ coefficients
    return float((((np.eye(CLASSES)[labels] - share) - predicted) ** 2).sum() / len(labels) / 2)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000), size=st.integers(1, 20), penalty=st.sampled_from([1e-3, 0.1, 1.0]), soft=st.booleans()
)
def test_it_equals_the_direct_loss_on_all_data(seed: int, size: int, penalty: float, soft: bool) -> None:
    features, labels = data(seed)
    made, given_labels = data(seed + 1, size)
    targets = np.random.default_rng(seed).dirichlet(np.ones(CLASSES), size) if soft else np.eye(CLASSES)[given_labels]
    # In parts, as sites send them.
    equations = normal_equations(added([sums_of(features[:50], labels[:50]), sums_of(features[50:], labels[50:])]))
    labelled = torch.from_numpy(targets if soft else given_labels)
    found = kernel_loss(equations, torch.from_numpy(made), labelled, penalty)
    assert float(found) == pytest.approx(direct(features, labels, made, targets, penalty), rel=1e-9, abs=1e-9)


def test_its_gradient_is_its_slope() -> None:
    equations = normal_equations(sums_of(*data(1)))
    made, labels = (torch.from_numpy(value) for value in data(2, 6))
    assert torch.autograd.gradcheck(
        lambda given: kernel_loss(equations, given, labels, 0.1), made.clone().requires_grad_(), atol=1e-6
    )


def test_the_data_themselves_have_the_loss_of_the_best_classifier() -> None:
    features, labels = data(3)
    equations = normal_equations(sums_of(features, labels))
    whole = kernel_loss(equations, torch.from_numpy(features), torch.from_numpy(labels), 1e-9)
    weight = np.linalg.solve(equations.gram, equations.cross)
    least = (equations.spread - (weight * equations.cross).sum()) / 2
    assert float(whole) == pytest.approx(least, rel=1e-6)
