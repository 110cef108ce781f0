"""Co-Boosting's two updates against values computed by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor

from collabdm.baselines.co_boosting import diversified, moved_weights

# One sample of class 0; member 0 is right, member 1 is wrong.
LOGITS, LABELS = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]]), torch.tensor([0])


def test_weights_move_towards_who_is_right() -> None:
    moved = moved_weights(torch.tensor([0.5, 0.5]), LOGITS, LABELS, 0.01)
    assert moved.tolist() == pytest.approx([0.51, 0.49])


def test_weights_stay_between_zero_and_one() -> None:
    assert moved_weights(torch.tensor([0.995, 0.005]), LOGITS, LABELS, 0.01).tolist() == pytest.approx([1.0, 0.0])


def test_an_ensemble_is_never_without_weights() -> None:
    # Three members, none of whom is right less often than the mean: all would fall to 0.
    weights, logits = torch.tensor([0.01]), torch.tensor([[[1.0, 0.0]]])
    assert moved_weights(weights, logits, LABELS, 0.0).tolist() == weights.tolist()
    assert moved_weights(torch.tensor([1e-9, 1e-9]), LOGITS.flip(0), LABELS, 1.0).sum() > 0


class Linear:
    """Two members whose logits are linear in two pixels, which stand in for the clients' models."""

    def logits(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1).unbind(dim=1)
        return torch.stack([torch.stack([first, second], dim=1), torch.stack([-first, second], dim=1)])


def test_every_pixel_moves_by_the_distance_where_the_mix_grows() -> None:
    images = torch.tensor([[[[0.3, -0.2]]]])
    teachers: Any = Linear()
    # Weights (1, 0): logits are the pixels. Class 0 is mixed with +1: its pixel grows, the other falls.
    moved = diversified(images, teachers, torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0]]), 0.1)
    torch.testing.assert_close(moved, torch.tensor([[[[0.4, -0.3]]]]))
    # Weights (0, 1): the first logit is minus its pixel.
    moved = diversified(images, teachers, torch.tensor([0.0, 1.0]), torch.tensor([[1.0, 0.0]]), 0.1)
    torch.testing.assert_close(moved, torch.tensor([[[[0.2, -0.3]]]]))
