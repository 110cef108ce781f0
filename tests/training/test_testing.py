"""Two networks tested as one: their logits are added by weight, as plain numpy adds them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from collabdm.data.samples import Samples
from collabdm.engine import EAGER
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.training.teacher_labels import TeacherLabels
from collabdm.training.testing import Voter, added_logits, voters_of
from collabdm.training.testing import test_accuracy as accuracy_on

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


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
def test_logits_are_added_by_weight(share: float, make_samples: Callable[..., Samples]) -> None:
    samples, own, beside = make_samples([12, 7, 5]), drawn(OWN, 1), drawn(BESIDE, 2)
    teacher = TeacherLabels(network=BESIDE, parameters=beside)
    voters = voters_of(Voter(network=OWN, parameters=own), teacher, share)
    assert len(voters) == (2 if share else 1)
    found = added_logits(voters, samples.values, classes=3, sample=SAMPLE, engine=EAGER).numpy()
    expected = (1 - share) * said(OWN, own, samples.values) + share * said(BESIDE, beside, samples.values)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    right = expected.argmax(axis=1) == samples.labels
    assert accuracy_on(voters, samples, SAMPLE, EAGER).accuracy == pytest.approx(right.mean())


def test_a_weight_changes_the_last_layer_alone() -> None:
    own = drawn(OWN, 1)
    half = Voter(network=OWN, parameters=own).weighted(0.5)
    for name, value in own.items():
        expected = value / 2 if name.startswith("classifier.") else value
        assert torch.equal(half.parameters[name], expected), name
