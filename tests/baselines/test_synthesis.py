"""The generator, and the batch that it is trained to make."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from collabdm.baselines.students import batches_of
from collabdm.baselines.synthesis import Objective, Synthetic, generator_for, initial_generator, synthesise
from collabdm.config.rivals import SynthesisSpec
from collabdm.images.pixels import Normalisation
from collabdm.randomness import Stream

SETTINGS = SynthesisSpec(batch=12, latent=6, generator_width=8, generator_steps=20, generator_lr=0.02)
NORMALISATION = Normalisation(mean=(0.25,), std=(0.5,))


def made_by(objective: Objective, settings: SynthesisSpec) -> Iterator[Synthetic]:
    return synthesise(
        generator_for((1, 8, 8), settings, torch.float32),
        objective,
        settings,
        NORMALISATION,
        classes=4,
        draws=Stream(0, "draws").generator(),
        device="cpu",
    )


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 9, 14)])
def test_pixels_of_any_size(shape: tuple[int, int, int]) -> None:
    made, draws = generator_for(shape, SETTINGS, torch.float32), Stream(0, "draws").generator()
    parameters = initial_generator(made.network, draws)
    pixels = made.apply(parameters, torch.from_numpy(draws.standard_normal((5, 6), dtype=np.float32)))
    assert pixels.shape == (5, *shape)
    assert 0 < float(pixels.min()) < float(pixels.max()) < 1


def test_initial_parameters() -> None:
    made = generator_for((1, 28, 28), SynthesisSpec(), torch.float32)
    parameters = initial_generator(made.network, Stream(0, "draws").generator())
    assert set(parameters) == {name for name, _ in made.network.named_parameters()}
    for name, value in parameters.items():
        if name.endswith("bias"):
            assert not value.any()
            continue
        assert float(value.mean()) == pytest.approx(1.0 if value.dim() == 1 else 0.0, abs=0.01)
        assert float(value.std()) == pytest.approx(0.02, rel=0.3)


def test_the_batch_with_the_lowest_loss_is_taken() -> None:
    losses, seen = list[float](), list[Tensor]()

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        # Bright where the label is odd, dark where it is even.
        loss = ((images.mean(dim=(1, 2, 3)) - (labels % 2)) ** 2).mean()
        losses.append(float(loss.detach()))
        seen.append(images.detach())
        return loss

    images, labels, _ = next(made_by(objective, SETTINGS))
    assert len(losses) == SETTINGS.generator_steps
    assert images.equal(seen[int(np.argmin(losses))])
    assert min(losses) < 0.5 * losses[0]
    assert images.shape == (12, 1, 8, 8)
    assert set(labels.tolist()) <= set(range(4))
    # Normalised: pixels in (0, 1), less the mean, by the deviation.
    assert -0.5 < float(images.min()) < float(images.max()) < 1.5


@pytest.mark.parametrize("restart", [False, True])
def test_the_generator_goes_on_or_starts_anew(restart: bool) -> None:
    losses = list[float]()

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        losses.append(float((images.detach() ** 2).mean()))
        return (images**2).mean()

    made = made_by(objective, SETTINGS.model_copy(update={"restart": restart}))
    for _ in range(3):
        next(made)
    first, *later = losses[:: SETTINGS.generator_steps]
    assert later == pytest.approx([first, first], rel=0.2) if restart else max(later) < 0.2 * first


def test_batches_go_through_the_pool_pass_after_pass() -> None:
    found = list(batches_of(10, 4, 7, Stream(0, "order").generator()))
    assert [len(batch) for batch in found] == [4, 4, 2, 4, 4, 2, 4]
    assert sorted(np.concatenate(found[:3])) == sorted(np.concatenate(found[3:6])) == list(range(10))
    assert not np.array_equal(np.concatenate(found[:3]), np.concatenate(found[3:6]))


def test_no_batch_has_a_single_image() -> None:
    assert [len(batch) for batch in batches_of(9, 4, 4, Stream(0, "order").generator())] == [4, 4, 4, 4]
