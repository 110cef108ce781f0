"""The closed-form kernel against numerical ones, and its derivative."""

import numpy as np
import pytest
import torch
from torch import Tensor

from collabdm.local.ntk import relu_ntk
from collabdm.randomness import Stream

OUTPUTS = 32


def _points(count: int, features: int = 6) -> Tensor:
    return torch.from_numpy(Stream(0, "ntk", count).generator().standard_normal((count, features)))


def _finite_ntk(x: Tensor, width: int, depth: int, draws: np.random.Generator) -> Tensor:
    """<dF/dtheta(x), dF/dtheta(z)> of one network of this width, by backpropagation written out; mean over outputs."""
    sizes = [x.shape[1], *[width] * depth, OUTPUTS]
    weights = [torch.from_numpy(draws.standard_normal((sizes[i + 1], sizes[i]))) for i in range(depth + 1)]
    biases = [torch.from_numpy(draws.standard_normal(size)) for size in sizes[1:]]
    inputs, gates = [x], []
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        before = (2 / inputs[-1].shape[1]) ** 0.5 * inputs[-1] @ weight.T + 0.1 * bias
        gates.append((before > 0).double())
        inputs.append(before * gates[-1])
    delta = torch.eye(OUTPUTS, dtype=torch.float64).expand(len(x), OUTPUTS, OUTPUTS)
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64)
    for layer in range(depth, -1, -1):
        scale = 2 / inputs[layer].shape[1]
        kernel += (
            torch.einsum("iow,jow->ij", delta, delta) / OUTPUTS * (scale * inputs[layer] @ inputs[layer].T + 0.1**2)
        )
        if layer:
            delta = (scale**0.5 * delta @ weights[layer]) * gates[layer - 1][:, None]
    return kernel


def _sampled_ntk(x: Tensor, depth: int, samples: int, draws: np.random.Generator) -> Tensor:
    """The same recursion with its Gaussian expectations taken as averages over samples."""
    noise = torch.from_numpy(draws.standard_normal((samples, len(x))))
    covariance = 2 * x @ x.T / x.shape[1] + 0.01
    kernel = covariance
    for _ in range(depth):
        values = noise @ torch.linalg.cholesky(covariance + 1e-9 * torch.eye(len(x))).T
        values = torch.cat([values, -values])
        kept = (values > 0).double()
        covariance = 2 * (values * kept).T @ (values * kept) / len(values) + 0.01
        kernel = covariance + 2 * (kept.T @ kept / len(values)) * kernel
    return kernel


@pytest.mark.parametrize("depth", [1, 4])
def test_it_is_the_kernel_of_sampled_expectations(depth: int) -> None:
    x = _points(5)
    sampled = _sampled_ntk(x, depth, 400_000, Stream(1, "sampled").generator())
    exact = relu_ntk(x, x, depth=depth)
    scale = (exact.diagonal()[:, None] * exact.diagonal()).sqrt()
    assert float(((exact - sampled) / scale).abs().max()) < 1e-2


def test_it_is_the_limit_of_wide_finite_networks() -> None:
    x, draws = _points(4), Stream(2, "finite").generator()
    exact = relu_ntk(x, x)
    error = {}
    for width in (32, 1024):
        mean = torch.stack([_finite_ntk(x, width, 4, draws) for _ in range(8)]).mean(dim=0)
        error[width] = float((mean - exact).norm() / exact.norm())
    assert error[1024] < 8e-2
    assert error[1024] < error[32]


def test_it_is_symmetric_and_positive() -> None:
    x = _points(30)
    kernel = relu_ntk(x, x)
    assert torch.allclose(kernel, kernel.T, rtol=1e-12)
    assert float(torch.linalg.eigvalsh(kernel).min()) > 0
    assert torch.allclose(relu_ntk(x[:3], x), kernel[:3], rtol=1e-12)


def test_images_are_flattened() -> None:
    x = _points(5, 12)
    assert torch.equal(relu_ntk(x.view(5, 3, 2, 2), x), relu_ntk(x, x))


def test_its_derivative_is_that_of_finite_differences() -> None:
    x, z = _points(3), _points(4)
    torch.autograd.gradcheck(lambda x, z: relu_ntk(x, z), (x.requires_grad_(), z.requires_grad_()))
    torch.autograd.gradcheck(lambda x: relu_ntk(x, x), (x,))


def test_a_sample_twice_has_a_finite_derivative() -> None:
    x = _points(3)
    x = torch.cat([x, x[:1]]).requires_grad_()
    (gradient,) = torch.autograd.grad(relu_ntk(x, x).sum(), x)
    assert bool(torch.isfinite(gradient).all())
