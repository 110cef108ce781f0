"""The perceptron against a reference written out, and its parameters."""

import pytest
import torch

from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.networks.base import applied
from collabdm.randomness import Stream


def test_the_embedding_is_the_last_hidden_layer() -> None:
    spec = NetworkSpec(name="mlp", width=8, depth=2, norm="none", activation="leaky-relu")
    network = build_network(spec, (5,), 3)
    p = initial_parameters(network, Stream(3, "mlp"))
    rows = torch.from_numpy(Stream(4, "rows").uniform((7, 5), -1, 1)).float()
    hidden = rows
    for layer in (1, 3):
        hidden = hidden @ p[f"body.{layer}.weight"].T + p[f"body.{layer}.bias"]
        hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
    apply = applied(network, threads=False)
    torch.testing.assert_close(apply(p, rows, embedding=True), hidden)
    torch.testing.assert_close(apply(p, rows), hidden @ p["classifier.weight"].T + p["classifier.bias"])


@pytest.mark.parametrize(("shape", "features"), [((5,), 12), ((2, 3), 12)])
def test_any_shape_and_a_norm_of_each_sample(shape: tuple[int, ...], features: int) -> None:
    network = build_network(NetworkSpec(name="mlp", width=features, depth=3, norm="layer"), shape, 4)
    assert network.features == features
    assert {name for name, _ in network.named_parameters()} >= {"body.1.weight", "body.2.weight", "body.8.bias"}
