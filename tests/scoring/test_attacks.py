"""Attacks against a slow reference on a linear classifier, whose gradients are its weights."""

import numpy as np
import pytest
import torch

from collabdm.data.samples import Samples
from collabdm.engine import EAGER
from collabdm.images.modality import Images
from collabdm.networks import NetworkSpec, applied, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.scoring.attacks import Attack, attacked, attacked_accuracies, usual_attacks

SAMPLE = Images.declared({"shape": (3, 4, 4), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.5)}, "auto")
PIXELS = np.random.default_rng(0).uniform(0.3, 0.7, (6, 3, 4, 4)).astype(np.float32)
LABELS = torch.tensor([0, 1, 0, 1, 1, 0])
WEIGHTS = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 48)).astype(np.float32))


def linear(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1) @ WEIGHTS.T


def pixels_after(attack: Attack) -> np.ndarray:
    images = SAMPLE.tensors(PIXELS, device="cpu", dtype=torch.float32)
    moved = attacked(images, LABELS, linear, SAMPLE, attack, np.random.default_rng(2))
    return SAMPLE.pixels(moved).numpy()


def steepest() -> np.ndarray:
    """The loss of two classes rises along the other class's weights less the own's, in every pixel."""
    signs = torch.sign(WEIGHTS[1 - LABELS] - WEIGHTS[LABELS]).reshape(6, 3, 4, 4)
    return signs.numpy()


def test_one_step_goes_along_the_sign_of_the_gradient_in_pixels() -> None:
    np.testing.assert_allclose(pixels_after(Attack(kind="fgsm", size=0.1)), PIXELS + 0.1 * steepest(), atol=1e-6)


def test_many_steps_end_where_a_linear_loss_is_largest() -> None:
    found = pixels_after(Attack(kind="pgd", size=0.1, steps=10))
    np.testing.assert_allclose(found, PIXELS + 0.1 * steepest(), atol=1e-6)


@pytest.mark.parametrize("attack", [*usual_attacks(), Attack(kind="fgsm", size=0.9), Attack(kind="noise", size=0.9)])
def test_nothing_leaves_black_and_white_or_the_size(attack: Attack) -> None:
    found = pixels_after(attack)
    assert found.min() >= -1e-6
    assert found.max() <= 1 + 1e-6
    if attack.kind != "noise":
        assert np.abs(found - PIXELS).max() <= attack.size + 1e-6


def test_noise_has_its_deviation_in_pixels() -> None:
    assert np.std(pixels_after(Attack(kind="noise", size=0.05)) - PIXELS) == pytest.approx(0.05, rel=0.1)


def test_accuracies_by_attack() -> None:
    spec = NetworkSpec(name="convnet", width=4, depth=1)
    parameters = initial_parameters(build_network(spec, SAMPLE.shape, 2), Stream(0, "network"))
    images = SAMPLE.tensors(PIXELS, device="cpu", dtype=torch.float32)
    said = applied(build_network(spec, SAMPLE.shape, 2), threads=False)(parameters, images).argmax(1).numpy()
    test = Samples(values=PIXELS, labels=said.astype(np.int64), classes=("a", "b"))
    attacks = (*usual_attacks(), Attack(kind="fgsm", size=0.5))
    found = attacked_accuracies(parameters, spec, test, SAMPLE, attacks, engine=EAGER, seed=0)
    again = attacked_accuracies(parameters, spec, test, SAMPLE, attacks, engine=EAGER, seed=0)
    assert found == again
    assert found["as they are"] == 1.0
    assert list(found)[1:] == [
        *("fgsm 2/255", "fgsm 8/255", "pgd 2/255, 10 steps", "pgd 8/255, 10 steps", "noise 0.1", "fgsm 127.5/255"),
    ]
    assert found["fgsm 127.5/255"] < 1.0
