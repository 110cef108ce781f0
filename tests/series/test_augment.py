"""Operations on series: known values, gradients, and a sample's own numbers whatever the batch."""

import numpy as np
import pytest
import torch
from torch import Tensor

from collabdm.randomness import Stream
from collabdm.series.augment import OPERATIONS, window_mix


def some(count: int = 4, channels: int = 2, length: int = 20) -> Tensor:
    return torch.from_numpy(Stream(1, "series").uniform((count, channels, length), -2, 2))


def uniforms(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("length", [1, 2, 8, 50])
def test_numbers_are_a_samples_own(name: str, length: int) -> None:
    series, drawn = some(length=length), Stream(2, "numbers").uniform((4, 3))
    together = OPERATIONS[name](series, drawn)
    assert together.shape == series.shape
    assert torch.isfinite(together).all()
    for row in range(4):
        alone = OPERATIONS[name](series[row : row + 1], drawn[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=0)
        shared = OPERATIONS[name](series, drawn[row : row + 1])
        torch.testing.assert_close(shared[row], together[row], rtol=0, atol=0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_they_are_differentiable_in_the_series(name: str) -> None:
    drawn = Stream(3, "numbers").uniform((2, 3))
    assert torch.autograd.gradcheck(lambda x: OPERATIONS[name](x, drawn), some(2, 2, 9).requires_grad_())


def test_in_the_middle_of_their_range_shift_scaling_and_warp_change_nothing() -> None:
    series = some()
    for name in ("scaling", "shift", "warp"):
        torch.testing.assert_close(OPERATIONS[name](series, uniforms((0.5, 0.5, 0.5))), series)


def test_a_shift_moves_and_holds_the_ends() -> None:
    series = torch.arange(10.0, dtype=torch.float64).view(1, 1, 10)
    # All the way: a tenth of ten steps.
    later = OPERATIONS["shift"](series, uniforms((0.0, 0, 0)))[0, 0]
    assert later.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    earlier = OPERATIONS["shift"](series, uniforms((0.75, 0, 0)))[0, 0]
    assert earlier.tolist() == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9])


def test_a_warp_runs_through_everything_at_two_speeds() -> None:
    series = torch.arange(101.0, dtype=torch.float64).view(1, 1, 101)
    for speed, number in ((0.5, 0.0), (2.0, 1.0)):
        warped = OPERATIONS["warp"](series, uniforms((0.4, number, 0)))[0, 0]
        assert (warped[0], warped[-1]) == (0, 100)
        # Of 100 steps 25 run at another speed; all is brought back to the length.
        total = 75 + 25 / speed
        slopes = warped.diff() * 100 / total
        inside = (warped[:-1] > 30.5) & (warped[1:] < 54.5)
        torch.testing.assert_close(slopes[inside] / speed, torch.ones(int(inside.sum())).double())
        outside = (warped[1:] < 29.5) | (warped[:-1] > 55.5)
        torch.testing.assert_close(slopes[outside], torch.ones(int(outside.sum())).double())


def test_jitter_is_noise_of_a_tenth_and_scaling_of_a_quarter() -> None:
    drawn = Stream(5, "numbers").uniform((200, 3))
    series = torch.zeros(200, 2, 50, dtype=torch.float64)
    noise = OPERATIONS["jitter"](series, drawn)
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    assert abs(float(noise.mean())) < 3e-3
    neighbours = np.corrcoef(noise[:, :, 1:].flatten().numpy(), noise[:, :, :-1].flatten().numpy())[0, 1]
    assert abs(neighbours) < 0.03
    assert len(torch.unique(noise)) > 19_900
    factors = OPERATIONS["scaling"](series + 1, drawn)[:, 0, 0]
    np.testing.assert_allclose(factors, 1.25 ** (2 * drawn[:, 0] - 1))


def test_a_window_of_the_partner_and_the_share_that_is_left() -> None:
    series, partners = torch.zeros(3, 2, 10), torch.ones(3, 2, 10)
    mixed, share = window_mix(series, partners, uniforms((0.6, 0.5, 0), (0.6, 0.0, 0), (0.999, 0.5, 0)))
    assert mixed[0, 1].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    # At the end half of the window is cut off.
    assert mixed[1, 0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert not mixed[2].any()
    assert share.tolist() == pytest.approx([0.6, 0.8, 1.0])
    torch.testing.assert_close(1 - mixed.mean(dim=(1, 2)), share)
