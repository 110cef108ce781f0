"""Distillation through training: the truncated gradient against a full unroll and finite differences."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from collabdm.engine import REFERENCE
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.local.bptt import AdamState, adam_step, clipped, pulled_back, soft_reset, trained_through
from collabdm.local.shown import Shown
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream
from collabdm.training.differentiable import Differentiable, Parameters

SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
NET = Differentiable(spec=NetworkSpec(name="convnet", width=4, depth=1), sample=SAMPLE, classes=3, engine=REFERENCE)
LABELS = torch.tensor([0, 1, 2, 2])
LR = 0.02


def _images(seed: int = 0) -> Tensor:
    return torch.from_numpy(Stream(seed, "images").uniform((4, 1, 8, 8), -1, 1))


def _shown(images: Tensor, operations: tuple[str, ...] = ()) -> Shown:
    return Shown(samples=images, labels=LABELS, sample=SAMPLE, tiles=1, augment=operations)


def _real_loss(parameters: Mapping[str, Tensor]) -> Tensor:
    return NET.loss(parameters, _images(1), torch.tensor([0, 1, 2, 0]))


def _by_optimiser(images: Tensor, steps: int) -> Parameters:
    """The end of the same training by torch's own optimiser."""
    leaves = {name: value.clone().requires_grad_() for name, value in NET.fresh(Stream(0, "net")).items()}
    optimiser = torch.optim.Adam(leaves.values(), lr=LR)
    for _ in range(steps):
        optimiser.zero_grad()
        NET.loss(leaves, images, LABELS).backward()
        optimiser.step()
    return {name: value.detach() for name, value in leaves.items()}


def _full_unroll(images: Tensor, through: list[Tensor]) -> Tensor:
    """The loss after one Adam step on each of `through`, written as one function of them, from torch.func."""

    def loss(parameters: Parameters, shown: Tensor) -> Tensor:
        return NET.loss(parameters, shown, LABELS)

    parameters = NET.fresh(Stream(0, "net"))
    m = {name: torch.zeros_like(value) for name, value in parameters.items()}
    v = dict(m)
    for t, shown in enumerate(through, start=1):
        g = torch.func.grad(loss)(parameters, shown)
        m = {n: m[n] * 0.9 + g[n] * (1 - 0.9) for n in g}
        v = {n: v[n] * 0.999 + g[n] ** 2 * (1 - 0.999) for n in g}
        parameters = {
            n: parameters[n] - LR * (m[n] / (1 - 0.9**t)) / (torch.sqrt(v[n] / (1 - 0.999**t) + 1e-16) + 1e-8)
            for n in g
        }
    return _real_loss(parameters)


def _pulled(before: int, window: int) -> Tensor:
    images = _images().requires_grad_()
    start = NET.fresh(Stream(0, "net"))
    end = trained_through(NET, start, _shown(images), before, window, LR, 10, Stream(0, "unroll"))
    leaves = {name: value.detach().requires_grad_() for name, value in end.items()}
    wanted = dict(zip(leaves, torch.autograd.grad(_real_loss(leaves), list(leaves.values())), strict=True))
    return pulled_back(end, wanted, images)


@pytest.mark.parametrize("steps", [1, 5])
def test_the_unroll_is_adam(steps: int) -> None:
    for before in (0, steps):
        images = _images().requires_grad_()
        start = NET.fresh(Stream(0, "net"))
        end = trained_through(NET, start, _shown(images), before, steps - before, LR, 10, Stream(0, "unroll"))
        expected = _by_optimiser(_images(), steps)
        weights = [name for name in end if name != "body.0.bias"]  # whose gradient is rounding alone before a norm
        assert all(torch.allclose(end[name], expected[name], atol=1e-6) for name in weights)


def test_a_window_over_the_whole_unroll_gives_the_full_gradient() -> None:
    images = _images().requires_grad_()
    (full,) = torch.autograd.grad(_full_unroll(images, [images] * 4), images)
    assert torch.allclose(_pulled(0, 4), full, rtol=1e-6, atol=1e-9)


def test_a_shorter_window_gives_the_full_gradient_through_its_steps_alone() -> None:
    images, frozen = _images().requires_grad_(), _images()
    (full,) = torch.autograd.grad(_full_unroll(images, [frozen, frozen, images, images]), images)
    assert torch.allclose(_pulled(2, 2), full, rtol=1e-5, atol=1e-8)
    assert not torch.allclose(_pulled(0, 4), full, rtol=1e-2)


def test_the_gradient_is_that_of_finite_differences() -> None:
    gradient, step = _pulled(0, 3), 1e-6
    for place in [(0, 0, 3, 3), (3, 0, 0, 5)]:
        losses = []
        for sign in (1, -1):
            moved = _images()
            moved[place] += sign * step
            losses.append(float(_full_unroll(moved, [moved] * 3).detach()))
        assert abs((losses[0] - losses[1]) / (2 * step) - float(gradient[place])) < 1e-4 * float(gradient.abs().max())


def test_augmentation_reaches_the_images_and_classes_are_drawn() -> None:
    images = _images().requires_grad_()
    start = NET.fresh(Stream(0, "net"))
    end = trained_through(NET, start, _shown(images, ("scale",)), 0, 1, LR, 1, Stream(0, "unroll"))
    gradient = pulled_back(end, NET.fresh(Stream(1, "net")), images)
    assert gradient.flatten(1).any(dim=1).sum() == 3, "one image of every class"


def test_a_parameter_without_gradient_stays_and_passes_none() -> None:
    zero = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    after = adam_step(AdamState.of({"a": torch.ones(2, dtype=torch.float64)}), {"a": zero}, 0.1)
    assert after.parameters["a"].tolist() == [1, 1]
    (gradient,) = torch.autograd.grad(after.second["a"].sum() + 0 * after.parameters["a"].sum(), zero)
    assert bool(torch.isfinite(gradient).all())


def test_clipping_by_the_running_norm() -> None:
    gradient = torch.tensor([3.0, 4.0])
    same, running = clipped(gradient, None, 2.0)
    assert torch.equal(same, gradient)
    assert running == 5
    large, running = clipped(100 * gradient, running, 2.0)
    assert running == pytest.approx(0.9 * 5 + 0.1 * 500)
    assert float(large.norm()) == pytest.approx(2 * running)


def test_a_soft_reset_keeps_the_spread_and_the_norms() -> None:
    server = NET.fresh(Stream(0, "net"))
    assert soft_reset(NET, server, 0.0, Stream(1, "reset")) == server
    for share, like in ((0.1, 0.99), (1.0, 0.71)):
        reset = soft_reset(NET, server, share, Stream(1, "reset"))
        a, b = server["classifier.weight"].flatten(), reset["classifier.weight"].flatten()
        assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) == pytest.approx(like, abs=0.1)
        assert float(b.std() / a.std()) == pytest.approx(1, abs=0.1)
        assert torch.equal(reset["body.1.weight"], server["body.1.weight"])
