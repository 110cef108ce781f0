"""The teacher as a network: its logits, their gradient, and how sharp they are."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from collabdm.config import ServerSpec
from collabdm.engine import REFERENCE
from collabdm.matching.equations import NormalEquations, normal_equations
from collabdm.matching.gram import FeatureSums
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.teacher import Guide, ridge, teacher_of
from collabdm.teacher.teacher import sharpness_of
from reference import small_plan

D = 64


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(statistics=["mean", "gram"], features={"name": "patches", "width": 8}, gram_bits=8, tiles=2)


@pytest.fixture(scope="module")
def equations() -> NormalEquations:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 500)
    features = rng.normal(size=(500, D)) + rng.normal(size=(3, D))[labels]
    onehot = np.eye(3)[labels]
    sums = FeatureSums(counts=onehot.sum(axis=0), first=onehot.T @ features, second=features.T @ features)
    return normal_equations(sums)


def samples(count: int) -> torch.Tensor:
    return torch.from_numpy(Stream(1, "samples").uniform((count, 3, 8, 12), -1, 1))


def test_logits_are_sharpened_scores_of_the_features(plan: Plan, equations: NormalEquations) -> None:
    teacher, found = teacher_of(plan, equations, REFERENCE), ridge(equations)
    features = teacher.embedder.embed(teacher.parameters, samples(5)).numpy()
    expected = sharpness_of(equations, found.error) * (features @ found.weight + found.bias)
    np.testing.assert_allclose(teacher.logits(samples(5)).numpy(), expected, rtol=1e-9)


def test_the_way_back_is_the_gradient(plan: Plan, equations: NormalEquations) -> None:
    teacher, given, labels = teacher_of(plan, equations, REFERENCE), samples(3), torch.tensor([0, 2, 1])

    def loss(shown: torch.Tensor) -> float:
        return float(functional.cross_entropy(teacher.logits(shown), labels))

    features, back = teacher.linearised(given)
    there = features.detach().requires_grad_()
    (at_features,) = torch.autograd.grad(functional.cross_entropy(teacher.said(there), labels), there)
    gradient, step = back(at_features), 1e-6
    for place in ((0, 0, 1, 2), (1, 2, 4, 7), (2, 1, 7, 11)):
        moved = torch.zeros_like(given)
        moved[place] = step
        slope = (loss(given + moved) - loss(given - moved)) / (2 * step)
        assert float(gradient[place]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_sharpness_makes_the_log_odds_of_gaussian_classes() -> None:
    # Two classes at 0 and 1 of deviation 0.5: the log-odds of x are (x - 1/2) / 0.25.
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200_000)
    features = labels[:, None] + 0.5 * rng.normal(size=(len(labels), 1))
    onehot = np.eye(2)[labels]
    sums = FeatureSums(counts=onehot.sum(axis=0), first=onehot.T @ features, second=features.T @ features)
    equations = normal_equations(sums)
    found = ridge(equations)
    logits = sharpness_of(equations, found.error) * (np.array([[0.2], [0.9]]) @ found.weight + found.bias)
    odds = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(odds, (np.array([0.2, 0.9]) - 0.5) / 0.25, rtol=0.03)


def test_sharpness_is_right_for_many_classes_too() -> None:
    # Five classes at the corners of a simplex, unit variance: the discriminants are 3 x_c but for a constant.
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 5, 300_000)
    onehot = np.eye(5)[labels]
    features = 3 * onehot + rng.normal(size=onehot.shape)
    sums = FeatureSums(counts=onehot.sum(axis=0), first=onehot.T @ features, second=features.T @ features)
    equations = normal_equations(sums)
    found = ridge(equations)
    shown = rng.normal(size=(50, 5)) + 1
    logits = sharpness_of(equations, found.error) * (shown @ found.weight + found.bias)
    expected = 3 * shown
    gap = [one - one.mean(axis=1, keepdims=True) for one in (logits, expected)]
    np.testing.assert_allclose(gap[0], gap[1], rtol=0.05, atol=0.1)


@pytest.mark.parametrize("kind", ["cross-entropy", "kernel"])
def test_a_guided_step_lowers_the_teachers_loss(plan: Plan, equations: NormalEquations, kind: str) -> None:
    teacher, given, labels = teacher_of(plan, equations, REFERENCE), samples(6), torch.tensor([0, 0, 1, 1, 2, 2])
    spec = ServerSpec.model_validate({"teacher": 0.5, "teacher_batch": 100, "teacher_loss": kind})
    guide = Guide(plan.model_copy(update={"augment": ()}), teacher, spec)
    direction = guide(given, labels=labels, step=3)
    assert float(torch.linalg.vector_norm(direction)) == pytest.approx(0.5)

    def loss(stored: torch.Tensor) -> float:
        return float(
            functional.cross_entropy(teacher.logits(plan.sample.expand(stored, 2)), labels.repeat_interleave(4))
        )

    assert loss(given - 0.5 * direction) < loss(given)


def test_a_guide_takes_a_batch_that_follows_from_the_step(plan: Plan, equations: NormalEquations) -> None:
    teacher, given, labels = teacher_of(plan, equations, REFERENCE), samples(6), torch.tensor([0, 0, 1, 1, 2, 2])
    guide = Guide(plan, teacher, ServerSpec(teacher_batch=2))
    moved = [guide(given, labels=labels, step=step).flatten(1).any(dim=1) for step in (0, 0, 1, 2, 3)]
    assert torch.equal(moved[0], moved[1])
    assert all(int(one.sum()) <= 2 for one in moved)
    assert len({tuple(one.tolist()) for one in moved}) > 1
