"""DOSFL in its own form: the steps that are learned, and how the server takes them."""

import numpy as np
import torch

from collabdm.baselines.dosfl_soft import carried
from collabdm.engine import REFERENCE
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream
from collabdm.training.differentiable import Differentiable

SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
NET = Differentiable(spec=NetworkSpec(name="convnet", width=4, depth=1), sample=SAMPLE, classes=3, engine=REFERENCE)


def _learned(seed: int) -> dict[str, torch.Tensor]:
    stream = Stream(seed, "learned")
    shapes = {"images": (2, 3, 1, 8, 8), "labels": (2, 3, 3), "sizes": (2, 2)}
    return {name: torch.from_numpy(stream.uniform(shape, -1, 1)) for name, shape in shapes.items()}


def _by_hand(order: list[tuple[int, int, int]]) -> dict[str, torch.Tensor]:
    """Gradient descent, one (client, epoch, step) after the other."""
    parameters = NET.fresh(Stream(0, "net"))
    for client, epoch, step in order:
        learned = _learned(client)
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        targets = torch.softmax(learned["labels"][step], dim=1)
        loss = NET.loss(leaves, learned["images"][step], targets)
        size = torch.log1p(torch.exp(learned["sizes"][epoch, step]))
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        parameters = {n: (leaves[n] - size * g).detach() for n, g in zip(leaves, gradients, strict=True)}
    return parameters


def test_steps_run_in_turn_epoch_after_epoch_without_those_masked() -> None:
    kept = np.array([[True, True], [False, True]])
    got = carried(NET, NET.fresh(Stream(0, "net")), [_learned(0), _learned(1)], kept)
    expected = _by_hand([(0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
    assert all(torch.allclose(got[name], value, rtol=1e-9, atol=1e-12) for name, value in expected.items())


def test_images_labels_and_sizes_all_get_a_gradient_like_finite_differences() -> None:
    learned = {name: value.requires_grad_() for name, value in _learned(0).items()}
    kept = np.ones((2, 2), bool)

    def loss(changed: dict[str, torch.Tensor]) -> torch.Tensor:
        end = carried(NET, NET.fresh(Stream(0, "net")), [changed], kept)
        return NET.loss(end, torch.ones(1, 1, 8, 8, dtype=torch.float64), torch.tensor([1]))

    gradients = dict(zip(learned, torch.autograd.grad(loss(learned), list(learned.values())), strict=True))
    step = 1e-6
    for name, place in (("images", (1, 2, 0, 3, 4)), ("labels", (0, 1, 2)), ("sizes", (1, 0))):
        values = []
        for sign in (1, -1):
            moved = {n: value.detach().clone() for n, value in learned.items()}
            moved[name][place] += sign * step
            values.append(float(loss(moved).detach()))
        assert abs((values[0] - values[1]) / (2 * step) - float(gradients[name][place])) < 1e-6
