"""The losses of DENSE and Co-Boosting against values computed by hand."""

import math

import pytest
import torch

from collabdm.baselines.losses import (
    batch_norm_distance,
    boundary_loss,
    divergence,
    ensemble_logits,
    hard_cross_entropy,
)

# Two classes: logits (log 3, 0) are probabilities (3/4, 1/4).
LOG3 = math.log(3.0)


def test_ensemble_logits() -> None:
    logits = torch.tensor([[[1.0, 2.0]], [[3.0, -2.0]], [[5.0, 6.0]]])
    assert ensemble_logits(logits, [1.0, 1.0, 1.0]).tolist() == [[3.0, 2.0]]
    # (1 * 1 + 3 * 3) / 4 and (1 * 2 - 3 * 2) / 4; the third has no weight.
    assert ensemble_logits(logits, [1.0, 3.0, 0.0]).tolist() == [[2.5, -1.0]]


def test_batch_norm_distance() -> None:
    # One channel: pixels 1, 3 (image 0) and 5, 7 (image 1): mean 4, variance (9 + 1 + 1 + 9) / 4 = 5.
    first = torch.tensor([[[[1.0, 3.0]]], [[[5.0, 7.0]]]])
    # Two channels, constant: means 2 and 0, variances 0.
    second = torch.tensor([[[[2.0]], [[0.0]]], [[[2.0]], [[0.0]]]])
    parameters = {
        "a.running_mean": torch.tensor([1.0]),
        "a.running_var": torch.tensor([3.0]),
        "b.running_mean": torch.tensor([-1.0, 4.0]),
        "b.running_var": torch.tensor([3.0, 4.0]),
    }
    # Layer a: |4 - 1| + |5 - 3| = 5. Layer b: |(3, -4)| + |(-3, -4)| = 5 + 5.
    assert float(batch_norm_distance({"a": first, "b": second}, parameters)) == pytest.approx(15.0)
    assert float(batch_norm_distance({"a": first}, parameters)) == pytest.approx(5.0)


def slow_distance(images: torch.Tensor, mean: torch.Tensor, var: torch.Tensor) -> torch.Tensor:
    """The same with torch's own reductions and gradients."""
    variances, means = torch.var_mean(images, dim=(0, 2, 3), correction=0)
    return torch.linalg.vector_norm(means - mean) + torch.linalg.vector_norm(variances - var)


def test_the_gradient_of_batch_norm_distance_is_that_of_torchs_reductions() -> None:
    generator = torch.Generator().manual_seed(0)
    # Far from zero beside its spread, where sums of squares would lose digits.
    images = 100 + torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64)
    mean, var = 100 + torch.randn(3, generator=generator).double(), torch.rand(3, generator=generator).double()
    parameters = {"a.running_mean": mean, "a.running_var": var}
    for given, tolerance in ((images, 1e-10), (images.float(), 1e-4)):
        given = given.to(memory_format=torch.channels_last).requires_grad_()
        distance = batch_norm_distance(
            {"a": given}, {name: value.to(given.dtype) for name, value in parameters.items()}
        )
        exact = images.clone().requires_grad_()
        expected = slow_distance(exact, mean, var)
        assert float(distance.detach()) == pytest.approx(float(expected.detach()), rel=tolerance)
        (gradient,), (reference,) = torch.autograd.grad(3 * distance, given), torch.autograd.grad(3 * expected, exact)
        torch.testing.assert_close(gradient.double(), reference, rtol=0, atol=tolerance)
    constant = torch.full((2, 3, 2, 2), 7.0, dtype=torch.float64, requires_grad=True)
    at_rest = batch_norm_distance({"a": constant}, {"a.running_mean": mean, "a.running_var": var})
    assert torch.autograd.grad(at_rest, constant)[0].isfinite().all()


def test_divergence() -> None:
    teacher, student = torch.tensor([[LOG3, 0.0]]), torch.tensor([[0.0, 0.0]])
    # KL((3/4, 1/4) || (1/2, 1/2)) = 3/4 log(3/2) + 1/4 log(1/2).
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert divergence(student, teacher, 1.0).tolist() == pytest.approx([expected])
    # Logits of twice the size at temperature 2 are the same probabilities, and count four times.
    assert divergence(2 * student, 2 * teacher, 2.0).tolist() == pytest.approx([4 * expected])


def test_boundary_loss_counts_only_disagreement() -> None:
    teacher = torch.tensor([[LOG3, 0.0], [LOG3, 0.0]])
    student = torch.tensor([[0.0, LOG3], [2 * LOG3, 0.0]])
    # Sample 0: KL((3/4, 1/4) || (1/4, 3/4)) = 1/2 log 3. Sample 1: both say class 0. The mean is over both samples.
    assert float(boundary_loss(student, teacher)) == pytest.approx(-0.5 * LOG3 / 2)
    assert float(boundary_loss(teacher, teacher)) == 0.0


def test_boundary_loss_pulls_images_apart() -> None:
    student = torch.tensor([[0.0, LOG3]], requires_grad=True)
    boundary_loss(student, torch.tensor([[LOG3, 0.0]])).backward()
    assert student.grad is not None
    # A descent step lowers the student's logit of the teacher's class further.
    assert float(student.grad[0, 0]) > 0 > float(student.grad[0, 1])


def test_hard_cross_entropy() -> None:
    logits, labels = torch.tensor([[LOG3, 0.0], [LOG3, 0.0]], requires_grad=True), torch.tensor([0, 1])
    # p = 3/4 and 1/4: weights 1/4 and 3/4.
    value = (0.25 * math.log(4 / 3) + 0.75 * math.log(4)) / 2
    loss = hard_cross_entropy(logits, labels, 1.0)
    assert float(loss.detach()) == pytest.approx(value)
    loss.backward()
    assert logits.grad is not None
    # The weights are constants: the gradient is weight * (p - onehot) / 2.
    expected = torch.tensor([[0.25 * -0.25, 0.25 * 0.25], [0.75 * 0.75, 0.75 * -0.75]]) / 2
    torch.testing.assert_close(logits.grad, expected)
    plain = torch.nn.functional.cross_entropy(logits.detach(), labels)
    assert float(hard_cross_entropy(logits.detach(), labels, 0.0)) == pytest.approx(float(plain))
