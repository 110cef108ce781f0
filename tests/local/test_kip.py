"""Kernel-ridge distillation: its loss and gradient, its draws, and that it learns."""

import numpy as np
import torch
from torch import Tensor

from collabdm.engine import EAGER, REFERENCE
from collabdm.local.kip import RealData, balanced, centred, distilled_by_kernel, ridge_loss
from collabdm.local.ntk import relu_ntk
from collabdm.protocol import KipSpec
from collabdm.randomness import Stream


def _data(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three classes about their own centres."""
    draws = Stream(3, "kip centres").generator()
    centres = draws.standard_normal((3, 1, 4, 4))
    labels = np.arange(count) % 3
    noise = Stream(seed, "kip noise").generator().standard_normal((count, 1, 4, 4))
    return torch.from_numpy(centres[labels] + 0.6 * noise), torch.from_numpy(labels)


def _real(images: Tensor, labels: Tensor) -> RealData:
    members = {y: np.flatnonzero(labels.numpy() == y) for y in range(3)}
    return RealData(members=members, samples=lambda rows: images[torch.from_numpy(rows)], classes=3)


def test_the_loss_is_that_of_ridge_regression_written_out() -> None:
    (support, own), (images, labels) = _data(6), _data(9, 1)
    loss, right = ridge_loss(support, centred(own, 4), images, centred(labels, 4), 1e-3)
    inner, across = relu_ntk(support, support).numpy(), relu_ntk(images, support).numpy()
    inverse = np.linalg.inv(inner + 1e-3 * np.trace(inner) / 6 * np.eye(6))
    targets = np.eye(4)[labels.numpy()] - 0.25
    predicted = across @ inverse @ (np.eye(4)[own.numpy()] - 0.25)
    assert abs(float(loss) - np.mean((predicted - targets) ** 2) / 2) < 1e-10
    assert right == np.mean(predicted.argmax(axis=1) == labels.numpy())


def test_its_gradient_is_that_of_finite_differences() -> None:
    (support, own), (images, labels) = _data(5), _data(7, 1)
    targets = centred(own, 3), centred(labels, 3)
    torch.autograd.gradcheck(
        lambda s: ridge_loss(s, targets[0], images, targets[1], 1e-3)[0], (support.requires_grad_(),), atol=1e-6
    )


def test_batches_are_balanced_and_without_repeats() -> None:
    members = {0: np.arange(50), 4: np.arange(50, 53), 7: np.arange(60, 100)}
    drawn = balanced(members, 30, Stream(0, "balance"))
    assert {y: len(rows) for y, rows in drawn.items()} == {0: 10, 4: 3, 7: 10}
    assert all(len(set(rows.tolist())) == len(rows) and set(rows) <= set(members[y]) for y, rows in drawn.items())
    assert sum(len(rows) for rows in balanced(members, 1, Stream(0, "balance")).values()) == 3


def test_distilling_lowers_the_loss_on_other_samples() -> None:
    images, labels = _data(60)
    held_out, wanted = _data(60, 5)
    support, own = images[:3].clone(), labels[:3]

    def loss(of: Tensor) -> float:
        return float(ridge_loss(of.double(), centred(own, 3), held_out, centred(wanted, 3), 1e-6)[0].detach())

    told: list[int] = []
    for engine in (REFERENCE, EAGER):
        distilled = distilled_by_kernel(
            support.to(engine.sample_dtype),
            own,
            _real(images, labels),
            KipSpec(iterations=60, lr=0.05, stop=1.0),
            expand=lambda stored: stored,
            stream=Stream(0, "kip"),
            tell=lambda done, _: told.append(done),
        )
        assert distilled.dtype == engine.sample_dtype
        assert loss(distilled) < 0.7 * loss(support)
    assert told == [50] * 2


def test_it_stops_where_a_batch_is_predicted_well_enough() -> None:
    images, labels = _data(12)
    told: list[int] = []
    settings = KipSpec(iterations=200, stop=0.01)
    distilled_by_kernel(
        images[:3],
        labels[:3],
        _real(images, labels),
        settings,
        expand=lambda stored: stored,
        stream=Stream(0, "kip"),
        tell=lambda done, _: told.append(done),
    )
    assert told == []
