"""Two networks tested as one, and in several views: their logits are added by weight, as plain numpy adds them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from collabdm.data.samples import Samples
from collabdm.engine import EAGER, Engine
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.kernels import compiler
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES
from collabdm.training.teacher_labels import TeacherLabels
from collabdm.training.testing import Voter, added_logits, voters_of
from collabdm.training.testing import test_accuracy as accuracy_on
from collabdm.training.training_set import TrainingSet

SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.4,), std=(0.3,)))
OWN, BESIDE = NetworkSpec(name="convnet", width=4, depth=1), NetworkSpec(name="patches", width=4)


def drawn(spec: NetworkSpec, seed: int) -> dict[str, Tensor]:
    return initial_parameters(build_network(spec, SAMPLE.shape, 3), Stream(seed, "voters"))


def said(spec: NetworkSpec, parameters: dict[str, Tensor], values: np.ndarray) -> np.ndarray:
    """The logits of one network, from torch alone."""
    network = build_network(spec, SAMPLE.shape, 3)
    return (
        functional_call(network, parameters, SAMPLE.tensors(values, device="cpu", dtype=torch.float32)).detach().numpy()
    )


def set_of(samples: Samples, augment: tuple[str, ...], teacher: TeacherLabels | None = None) -> TrainingSet:
    labels = torch.from_numpy(samples.labels)
    return TrainingSet(samples=samples, labels=labels, sample=SAMPLE, augment=augment, teacher=teacher)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize(
    ("augment", "views", "shown"), [(("crop",), True, 1), (("crop", "flip"), False, 1), (("flip", "crop"), True, 2)]
)
def test_logits_are_added_by_weight_and_averaged_over_views(
    share: float,
    augment: tuple[str, ...],
    views: bool,
    shown: int,
    make_samples: Callable[..., Samples],
) -> None:
    samples, own, beside = make_samples([12, 7, 5]), drawn(OWN, 1), drawn(BESIDE, 2)
    training = set_of(samples, augment, TeacherLabels(network=BESIDE, parameters=beside))
    recipe = RECIPES["fast"].model_copy(update={"beside": share, "views": views})
    voters = voters_of(OWN, own, training, recipe)
    assert len(voters) == (2 if share else 1)
    found = added_logits(voters, samples.values, classes=3, sample=SAMPLE, engine=EAGER).numpy()
    expected = np.zeros((24, 3))
    for values in (samples.values, samples.values[..., ::-1].copy())[:shown]:
        expected += ((1 - share) * said(OWN, own, values) + share * said(BESIDE, beside, values)) / shown
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    right = expected.argmax(axis=1) == samples.labels
    assert accuracy_on(voters, samples, SAMPLE, EAGER).accuracy == pytest.approx(right.mean())


@pytest.mark.skipif(compiler() is None, reason="our kernels need a C++ compiler")
def test_our_own_kernels_are_asked_about_all_views(make_samples: Callable[..., Samples]) -> None:
    wide = NetworkSpec(name="convnet", width=32, depth=2)
    samples, own = make_samples([12, 7, 5]), drawn(wide, 1)
    voter = Voter(network=wide, parameters=own, views=("flip",))
    engine = Engine(kind="compiled", dtype="float32", chunk=7)
    found = added_logits((voter,), samples.values, classes=3, sample=SAMPLE, engine=engine).numpy()
    expected = sum(said(wide, own, values) for values in (samples.values, samples.values[..., ::-1].copy())) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_one_who_was_not_asked_to_has_nobody_beside_it(make_samples: Callable[..., Samples]) -> None:
    alone = voters_of(OWN, drawn(OWN, 1), set_of(make_samples([3, 3, 3]), ("flip",)), RECIPES["together"])
    assert [(voter.network, voter.views) for voter in alone] == [(OWN, ("flip",))]


def test_a_weight_changes_the_last_layer_alone() -> None:
    own = drawn(OWN, 1)
    half = Voter(network=OWN, parameters=own, views=("flip",)).weighted(0.5)
    assert (half.network, half.views) == (OWN, ("flip",))
    for name, value in own.items():
        expected = value / 2 if name.startswith("classifier.") else value
        assert torch.equal(half.parameters[name], expected), name
