"""The ConvNet for series: every length has its network, and what remains of it."""

import pytest
import torch
from torch.func import functional_call

from collabdm.errors import ConfigError
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream


def run(length: int, channels: int = 2, **given: object) -> tuple[int, torch.Tensor]:
    spec = NetworkSpec.model_validate({"name": "convnet1d", "width": 8, **given})
    network = build_network(spec, (channels, length), 3)
    parameters = initial_parameters(network, Stream(1, "encoder"))
    series = torch.from_numpy(Stream(2, "series").uniform((4, channels, length), -1, 1)).float()
    return network.features // 8, functional_call(network, parameters, (series,), {"embedding": True})


@pytest.mark.parametrize(
    ("length", "left"),
    # Halved three times; not below two; by three, four, six where over 32 steps would remain.
    [(8, 2), (24, 3), (100, 12), (256, 32), (264, 9), (1000, 15), (1460, 22), (5000, 23), (4, 2), (3, 3), (2, 2)],
)
def test_every_length_has_its_network(length: int, left: int) -> None:
    steps, embeddings = run(length)
    assert steps == left
    assert embeddings.shape == (4, 8 * left)
    assert not torch.equal(embeddings[0], embeddings[1])


def test_deeper_networks_of_short_series_stop_pooling() -> None:
    for depth, left in ((1, 4), (2, 2), (3, 2), (8, 2)):
        assert run(8, depth=depth)[0] == left
    assert run(8, pooling="none")[0] == 8
    assert run(64, pooling="max")[0] == 8


def test_parameters_by_arithmetic() -> None:
    network = build_network(NetworkSpec(name="convnet1d"), (6, 100), 4)
    blocks = sum(channels * 128 * 3 + 128 + 2 * 128 for channels in (6, 128, 128))
    assert sum(p.numel() for p in network.parameters()) == blocks + 12 * 128 * 4 + 4


def test_one_step_needs_another_norm() -> None:
    with pytest.raises(
        ConfigError, match=r"one step: got instance norm; expected .*; fix: set plan\.network\.norm=layer"
    ):
        run(1, norm="instance")
    with pytest.raises(ConfigError, match="got group norm"):
        run(1, width=4)
    assert run(1)[1].std() > 0
    assert run(1, norm="layer")[1].shape == (4, 8)


def test_other_samples_are_refused() -> None:
    for name in ("convnet1d", "rocket"):
        with pytest.raises(ConfigError, match=rf"samples of {name}: got \[3, 8, 8\]; expected series"):
            build_network(NetworkSpec(name=name), (3, 8, 8), 3)
