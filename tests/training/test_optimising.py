"""The rates of recipes against torch's own schedules."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR

from collabdm.randomness import Stream
from collabdm.training.optimising import Descent, cosine_rate
from collabdm.training.recipes import Recipe
from collabdm.training.shuffling import batches

SIZE, BATCH, EPOCHS = 12, 4, 5


def rates(recipe: Recipe) -> list[float]:
    """How far each step moved a parameter whose gradient is one: plain descent moves it by the rate."""
    parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    descent = Descent({"a": parameter}, recipe, size=SIZE, epochs=EPOCHS)
    places = [0.0]
    for batch in batches(Stream(1), SIZE, BATCH, EPOCHS):
        parameter.grad = torch.ones_like(parameter)
        descent.step(batch)
        places.append(parameter.item())
    return [before - after for before, after in itertools.pairwise(places)]


def test_the_cosine_is_torch_s_own() -> None:
    recipe = Recipe(name="x", count=1, epochs=EPOCHS, lr=0.3, momentum=0, weight_decay=0, schedule="cosine")
    steps = EPOCHS * SIZE // BATCH
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule, expected = CosineAnnealingLR(sgd, T_max=steps), []
    for _ in range(steps):
        expected.append(schedule.get_last_lr()[0])
        sgd.step()
        schedule.step()
    assert rates(recipe) == pytest.approx(expected, abs=1e-12)


def test_half_time_is_a_tenth_after_the_middle_epoch() -> None:
    recipe = Recipe(name="x", count=1, epochs=EPOCHS, lr=0.3, momentum=0, weight_decay=0)
    assert rates(recipe) == pytest.approx([0.3] * 9 + [0.03] * 6, abs=1e-12)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_the_cosine_falls_from_one_to_nothing(total: int, share: float) -> None:
    shown = int(share * total)
    assert cosine_rate(0, total) == 1
    assert cosine_rate(total, total) == pytest.approx(0, abs=1e-12)
    assert cosine_rate(shown, total) == pytest.approx(math.cos(math.pi * shown / total / 2) ** 2, abs=1e-12)
