"""Feature maps of one length: what a promise of privacy needs of them, whatever the samples."""

import pytest
import torch
from torch.func import functional_call

from collabdm.errors import ConfigError
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream

MAPS = {"patches": (3, 8, 9), "random-features": (7,), "rocket": (2, 20)}


@pytest.mark.parametrize("name", MAPS)
def test_a_standardised_feature_map_says_the_same_but_for_length_and_mean(name: str) -> None:
    shape = MAPS[name]
    samples = torch.from_numpy(Stream(2, "samples").uniform((5, *shape), -2, 2))
    said = {}
    for norm in ("none", "layer"):
        network = build_network(NetworkSpec(name=name, width=8, norm=norm), shape, classes=2)
        drawn = initial_parameters(network, Stream(1, "map"), embedding=True)
        parameters = {key: value.double() for key, value in drawn.items()}
        said[norm] = functional_call(network, parameters, (samples,), {"embedding": True}, strict=False)
    plain = said["none"]
    expected = (plain - plain.mean(1, keepdim=True)) / plain.std(1, correction=0, keepdim=True)
    torch.testing.assert_close(said["layer"], expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        said["layer"].norm(dim=1), torch.full((5,), plain.shape[1] ** 0.5).double(), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("name", MAPS)
def test_another_norm_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"norm of {name}: got group; expected none or layer"):
        build_network(NetworkSpec(name=name, norm="group"), MAPS[name], classes=2)
