"""One table for all networks: shapes, parameters, independence of samples, smallest images."""

import itertools
import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from collabdm.errors import ConfigError
from collabdm.networks import NETWORKS, NetworkSpec, build_network, initial_parameters
from collabdm.networks.base import Network, Norm
from collabdm.randomness import Stream


@dataclass(frozen=True, kw_only=True)
class Known:
    """Parameters on 3x32x32 with ten classes, the smallest side, features on a 32 pixel side."""

    spec: NetworkSpec
    parameters: int
    smallest: int
    features: int


# The counts are those of the dataset-distillation literature's networks for CIFAR-10.
KNOWN = {
    "convnet": Known(spec=NetworkSpec(), parameters=320_010, smallest=8, features=2048),
    "alexnet": Known(spec=NetworkSpec(name="alexnet"), parameters=1_872_202, smallest=8, features=3072),
    "vgg11": Known(spec=NetworkSpec(name="vgg11"), parameters=9_231_114, smallest=32, features=512),
    "resnet18": Known(spec=NetworkSpec(name="resnet18"), parameters=11_173_962, smallest=16, features=512),
    # 128 filters of 3x6x6 pixels, and 8 features each.
    "patches": Known(spec=NetworkSpec(name="patches"), parameters=24_074, smallest=8, features=1024),
    "mirrored-patches": Known(spec=NetworkSpec(name="mirrored-patches"), parameters=24_074, smallest=8, features=1024),
}
every = pytest.mark.parametrize("name", KNOWN)

# Networks for other samples than images, each with a test of its own.
OTHERS = {"convnet1d", "mlp", "random-features", "rocket"}


def run(
    spec: NetworkSpec, images: Tensor, classes: int = 10, *, embedding: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    shape = (images.shape[1], images.shape[2], images.shape[3])
    network = build_network(spec, shape, classes)
    parameters = {name: value.to(images.dtype) for name, value in parameters_of(spec, shape, classes).items()}
    return functional_call(network, parameters, (images,), {"embedding": embedding}), parameters


@lru_cache(maxsize=2)
def parameters_of(spec: NetworkSpec, shape: tuple[int, int, int], classes: int) -> dict[str, Tensor]:
    return initial_parameters(build_network(spec, shape, classes), Stream(1, "encoder"))


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(Stream(2, "images").uniform(shape, -1, 1)).to(dtype)


def test_the_table_has_every_network() -> None:
    assert set(KNOWN) | OTHERS == set(NETWORKS)


@every
def test_parameter_count_is_the_literatures(name: str) -> None:
    network = build_network(KNOWN[name].spec, (3, 32, 32), 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == KNOWN[name].parameters
    assert network.features == KNOWN[name].features


def test_convnet_parameters_by_arithmetic() -> None:
    blocks = sum(channels * 128 * 9 + 128 + 2 * 128 for channels in (3, 128, 128))
    assert blocks + 2048 * 10 + 10 == KNOWN["convnet"].parameters


@every
def test_one_channel_28_pixels_has_the_features_of_32(name: str) -> None:
    # The first convolution pads 28 to 32; ResNet18 averages over positions anyway.
    assert build_network(KNOWN[name].spec, (1, 28, 28), 10).features == KNOWN[name].features


@pytest.mark.parametrize(
    ("name", "channels", "side"),
    [
        (name, channels, side)
        for name, known in KNOWN.items()
        for channels in (1, 3)
        for side in sorted({28, 32, 64, known.smallest})
        if side >= known.smallest or channels == 1
    ],
)
def test_shapes(name: str, channels: int, side: int) -> None:
    spec, images = KNOWN[name].spec, noise(2, channels, side, side)
    logits, parameters = run(spec, images, classes=7)
    embeddings, _ = run(spec, images, classes=7, embedding=True)
    assert logits.shape == (2, 7)
    assert embeddings.shape == (2, build_network(spec, (channels, side, side), 7).features)
    assert not torch.equal(embeddings[0], embeddings[1])
    expected = embeddings @ parameters["classifier.weight"].T + parameters["classifier.bias"]
    torch.testing.assert_close(logits, expected)


@every
def test_rectangles_work(name: str) -> None:
    smallest = KNOWN[name].smallest
    logits, _ = run(KNOWN[name].spec, noise(1, 3, smallest, 2 * smallest + 3))
    assert logits.shape == (1, 10)


@every
def test_too_small_names_the_smallest_side(name: str) -> None:
    smallest = KNOWN[name].smallest
    with pytest.raises(ConfigError, match=f"expected at least {smallest}") as refused:
        build_network(KNOWN[name].spec, (3, 64, smallest - 1), 10)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("depth", [1, 2, 4, 5])
def test_convnet_of_any_depth_halves_the_side(depth: int) -> None:
    spec = NetworkSpec(width=4, depth=depth)
    assert build_network(spec, (3, 2**depth, 2**depth), 2).features == 4
    assert build_network(spec, (3, 64, 64), 2).features == 4 * (64 // 2**depth) ** 2
    with pytest.raises(ConfigError, match=f"at least {2**depth}"):
        build_network(spec, (3, 2**depth - 1, 64), 2)


@pytest.mark.parametrize("pooling", ["avg", "max", "none"])
@pytest.mark.parametrize("depth", range(1, 9))
def test_convnet_takes_every_small_image_or_its_advice_helps(depth: int, pooling: str) -> None:
    spec = NetworkSpec(width=4, depth=depth, pooling=pooling)
    # Width and height are alike to it, so half of the rectangles are enough.
    for height, width in itertools.combinations_with_replacement(range(1, 9), 2):
        if (pooling == "none" and height * width > 1) or min(height, width) >= 2**depth:
            _tells_images_apart(spec, height, width)
            continue
        with pytest.raises(ConfigError) as refused:
            build_network(spec, (1, height, width), 2)
        advised = [dict(settings) for way in str(refused.value).split(" or ") if (settings := _settings(way))]
        assert advised
        for settings in advised:
            _tells_images_apart(NetworkSpec.model_validate(spec.model_dump() | settings), height, width)


def _settings(advice: str) -> list[tuple[str, str]]:
    return re.findall(r"plan\.network\.(\w+)=(\w+)", advice)


def _tells_images_apart(spec: NetworkSpec, height: int, width: int) -> None:
    found, _ = run(spec, noise(2, 1, height, width), 2, embedding=True)
    assert found.shape == (2, build_network(spec, (1, height, width), 2).features)
    assert found.isfinite().all()
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("norm", ["instance", "layer", "group", "none"])
@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "sigmoid"])
@pytest.mark.parametrize("pooling", ["avg", "max", "none"])
def test_convnet_variants_equal_plain_layers(norm: str, activation: str, pooling: str) -> None:
    spec = NetworkSpec.model_validate(
        {"width": 8, "depth": 2, "norm": norm, "activation": activation, "pooling": pooling}
    )
    images = noise(2, 3, 8, 8, dtype=torch.float64)
    embeddings, parameters = run(spec, images, embedding=True)
    weights = [value for name, value in parameters.items() if value.ndim == 4]
    biases = [parameters[name.replace("weight", "bias")] for name, value in parameters.items() if value.ndim == 4]
    expected = images
    for weight, bias in zip(weights, biases, strict=True):
        expected = nn.functional.conv2d(expected, weight, bias, padding=1)
        if norm != "none":
            groups = {"instance": 8, "layer": 1, "group": 4}[norm]
            grouped = expected.reshape(2, groups, -1)
            mean, variance = grouped.mean(-1, keepdim=True), grouped.var(-1, keepdim=True, correction=0)
            expected = ((grouped - mean) / (variance + 1e-5).sqrt()).reshape(expected.shape)
        expected = {
            "relu": lambda x: x.clamp_min(0),
            "leaky-relu": lambda x: torch.maximum(x, 0.01 * x),
            "sigmoid": lambda x: 1 / (1 + (-x).exp()),
        }[activation](expected)
        windows = expected.unfold(2, 2, 2).unfold(3, 2, 2)
        expected = {"avg": windows.mean((4, 5)), "max": windows.amax((4, 5)), "none": expected}[pooling]
    torch.testing.assert_close(embeddings, expected.flatten(1), rtol=1e-9, atol=1e-9)


@every
def test_samples_do_not_mix(name: str) -> None:
    side = KNOWN[name].smallest
    images = noise(3, 1, side, side, dtype=torch.float64)
    together, _ = run(KNOWN[name].spec, images, embedding=True)
    alone = torch.cat([run(KNOWN[name].spec, image[None], embedding=True)[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


@every
def test_the_gradient_reaches_images_and_parameters(name: str) -> None:
    shape = (1, KNOWN[name].smallest, KNOWN[name].smallest)
    network = build_network(KNOWN[name].spec, shape, 4)
    parameters = {
        key: value.clone().requires_grad_() for key, value in parameters_of(KNOWN[name].spec, shape, 4).items()
    }
    images = noise(2, *shape).requires_grad_()
    loss = nn.functional.cross_entropy(functional_call(network, parameters, (images,)), torch.tensor([0, 3]))
    loss.backward()
    assert images.grad is not None
    assert (images.grad != 0).any()
    assert all(value.grad is not None and torch.isfinite(value.grad).all() for value in parameters.values())
    assert parameters["classifier.weight"].grad is not None
    assert (parameters["classifier.weight"].grad != 0).any()


@every
def test_parameters_are_uniform_in_fan_in_and_norms_start_at_one_and_zero(name: str) -> None:
    network = build_network(KNOWN[name].spec, (3, 32, 32), 10)
    parameters = parameters_of(KNOWN[name].spec, (3, 32, 32), 10)
    assert set(parameters) == {key for key, _ in network.named_parameters()}
    assert list(parameters)[-2:] == ["classifier.weight", "classifier.bias"]
    for key, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight.numel() // module.weight.shape[0]
            bound = float(np.float32(1 / math.sqrt(fan_in)))
            weight = parameters[f"{key}.weight"]
            assert weight.dtype == torch.float32
            assert weight.abs().max() <= bound
            assert weight.abs().max() > 0.98 * bound
            # Uniform on +-b: mean 0, standard deviation b / sqrt(3).
            assert abs(weight.mean()) < 5 * bound / math.sqrt(3 * weight.numel())
            assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            if module.bias is not None:
                assert parameters[f"{key}.bias"].abs().max() <= bound
        elif isinstance(module, Norm):
            assert (parameters[f"{key}.weight"] == 1).all()
            assert (parameters[f"{key}.bias"] == 0).all()


@every
def test_an_encoder_is_the_classifier_without_its_last_layer(name: str) -> None:
    network = build_network(KNOWN[name].spec, (3, 32, 32), 10)
    whole = parameters_of(KNOWN[name].spec, (3, 32, 32), 10)
    body = initial_parameters(network, Stream(1, "encoder"), embedding=True)
    assert set(whole) - set(body) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(whole[key], value) for key, value in body.items())


def test_seeds_give_other_encoders_and_the_same_seed_the_same() -> None:
    network = build_network(NetworkSpec(width=4, depth=1), (1, 8, 8), 1)
    first, again, other = (initial_parameters(network, Stream(seed, "encoder"))["body.0.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("given", [{"depth": 3}, {"width": 64}, {"pooling": "max"}])
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18"])
def test_a_parameter_that_the_network_lacks_is_refused(name: str, given: dict[str, object]) -> None:
    (key,) = given
    spec = NetworkSpec.model_validate({"name": name, **given})
    with pytest.raises(ConfigError, match=f"network {name}: got {key}=") as refused:
        build_network(spec, (3, 32, 32), 10)
    assert f"drop {key}" in str(refused.value)


@every
@pytest.mark.parametrize("shape", [(), (12,), (3, 32), (2, 3, 32, 32)])
def test_samples_of_another_rank_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=rf"samples of {name}: got .*expected images \[C, H, W\]") as refused:
        build_network(KNOWN[name].spec, shape, 10)
    assert str(list(shape)) in str(refused.value)


def body_of(*layers: nn.Module) -> Network:
    return Network(nn.Sequential(*layers), features=6, classes=3)


def test_a_convolution_over_series_is_drawn_like_one_over_images() -> None:
    network = body_of(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1))
    parameters = initial_parameters(network, Stream(1, "encoder"))
    assert list(parameters) == ["body.0.weight", "body.0.bias", "classifier.weight", "classifier.bias"]
    assert set(parameters) == {name for name, _ in network.named_parameters()}
    bound = 1 / math.sqrt(4 * 5)
    for value in (parameters["body.0.weight"], parameters["body.0.bias"]):
        assert value.abs().max() <= np.float32(bound)
    assert parameters["body.0.weight"].shape == (6, 4, 5)
    assert parameters["body.0.weight"].abs().max() > 0.9 * bound
    # One stream for all layers: the first of it goes to the first layer.
    first = Stream(1, "encoder").uniform((6, 4, 5), -bound, bound, dtype=np.float32)
    assert np.array_equal(parameters["body.0.weight"], first)
    logits = functional_call(network, parameters, (noise(2, 4, 9),))
    assert logits.shape == (2, 3)


class Scaled(nn.Module):
    """A layer with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, samples: Tensor) -> Tensor:
        return self.scale * samples


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (nn.LayerNorm(6), r"LayerNorm \(body.1\) with weight, bias"),
        (nn.BatchNorm1d(6), r"BatchNorm1d \(body.1\) with weight, bias"),
        (nn.PReLU(), r"PReLU \(body.1\) with weight"),
        (nn.Conv3d(1, 1, 1, bias=False), r"Conv3d \(body.1\) with weight"),
        (nn.Embedding(3, 6), r"Embedding \(body.1\) with weight"),
        (nn.GRU(6, 6), r"GRU \(body.1\) with weight_ih_l0, "),
        (Scaled(), r"Scaled \(body.1\) with scale"),
        (nn.Sequential(nn.ReLU(), Scaled()), r"Scaled \(body.1.1\) with scale"),
    ],
)
@pytest.mark.parametrize("embedding", [True, False])
def test_a_layer_without_known_initial_values_is_refused(layer: nn.Module, says: str, embedding: bool) -> None:
    network = body_of(nn.Linear(6, 6), layer)
    with pytest.raises(ConfigError, match=f"layer of a network: got {says}") as refused:
        initial_parameters(network, Stream(1, "encoder"), embedding=embedding)
    assert "expected one of Conv1d, Conv2d, Linear, Norm, BatchNorm" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_layers_without_parameters_are_taken_as_they_are() -> None:
    network = body_of(nn.Linear(6, 6, bias=False), nn.LayerNorm(6, elementwise_affine=False), nn.Dropout(), nn.GELU())
    assert list(initial_parameters(network, Stream(1), embedding=True)) == ["body.0.weight"]
