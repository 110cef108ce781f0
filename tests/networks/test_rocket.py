"""The feature map of series: golden kernels, a slow reference, and gradients through the shares."""

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor

from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.networks.base import applied
from collabdm.networks.procedural_series import procedural_series
from collabdm.randomness import Stream


def parameters_of(width: int, channels: int, length: int, seed: int = 7) -> dict[str, Tensor]:
    network = build_network(NetworkSpec(name="rocket", width=width), (channels, length), 3)
    return initial_parameters(network, Stream(seed, "features"), embedding=True)


def features(series: Tensor, width: int = 12) -> Tensor:
    _, channels, length = series.shape
    network = build_network(NetworkSpec(name="rocket", width=width), (channels, length), 3)
    parameters = {name: value.to(series.dtype) for name, value in parameters_of(width, channels, length).items()}
    return applied(network, threads=False)(parameters, series, embedding=True)


def some(channels: int, length: int, count: int = 3) -> Tensor:
    return torch.from_numpy(Stream(3, "series").uniform((count, channels, length), -2, 2))


@pytest.mark.parametrize(
    ("channels", "length", "digest"),
    [
        (1, 8, "cf5c94be9eaa92830a7fedb52b3056b70daa7cfb6d34b0b8cccec0112f001555"),
        (6, 100, "5b63cd3a69c28423b05ea2ff0c772ecffbe0ec4d78401beb99d5b2596c2af3d3"),
    ],
)
def test_kernels_are_part_of_the_wire_format(channels: int, length: int, digest: str) -> None:
    parameters = parameters_of(16, channels, length)
    parts = [parameters["body.weight"].numpy(), parameters["body.threshold"].numpy()]
    # Whole multiples of 2^-12, so that what another machine sums in another order gives the same.
    grains = np.concatenate([part.astype(np.float64).ravel() for part in parts]) * 4096
    assert np.array_equal(grains, np.rint(grains))
    assert hashlib.sha256(np.rint(grains).astype("<i4").tobytes()).hexdigest() == digest


@pytest.mark.parametrize(("channels", "length", "dilations"), [(2, 8, [1]), (3, 50, [1, 2, 4, 8]), (1, 25, [1, 2, 4])])
def test_features_equal_a_slow_reference(channels: int, length: int, dilations: list[int]) -> None:
    series, width = some(channels, length), 12
    parameters = parameters_of(width, channels, length)
    weight, threshold = (parameters[f"body.{name}"].double().numpy() for name in ("weight", "threshold"))
    edges = [round(i * width / len(dilations)) for i in range(len(dilations) + 1)]
    expected = np.zeros((len(series), 2 * width))
    for n, one in enumerate(series.numpy()):
        for k in range(width):
            dilation = next(d for d, end in zip(dilations, edges[1:], strict=True) if k < end)
            response = np.zeros(length)
            for t in range(length):
                for tap in range(11):
                    place = t + (tap - 5) * dilation
                    if 0 <= place < length:
                        response[t] += weight[k, :, tap] @ one[:, place]
            expected[n, k] = np.mean(1 / (1 + np.exp(-10 * (response - threshold[k]))))
            expected[n, width + k] = response.max() / 4
    np.testing.assert_allclose(features(series).numpy(), expected, atol=1e-9)


def test_the_shares_are_nearly_the_shares_of_steps_above_the_threshold() -> None:
    series = torch.from_numpy(procedural_series(Stream(9, "smooth"), 8, 1, 200))
    width = 64
    shares = features(series, width)[:, :width]
    parameters = parameters_of(width, 1, 200)
    hard = []
    for k, dilation in enumerate(np.repeat([1, 2, 4, 8, 16, 32], [11, 10, 11, 11, 10, 11])):
        kernel = parameters["body.weight"][k : k + 1].double()
        response = torch.nn.functional.conv1d(series, kernel, padding=5 * int(dilation), dilation=int(dilation))
        hard.append((response[:, 0] > parameters["body.threshold"][k]).double().mean(dim=1))
    assert (shares - torch.stack(hard, dim=1)).abs().mean() < 0.06


def test_kernels_have_no_mean_and_thresholds_split_what_is_seen() -> None:
    parameters = parameters_of(256, 4, 120)
    weight = parameters["body.weight"].double()
    assert weight.sum(dim=2).abs().max() < 11 * 2**-12
    seen = (weight.abs().sum(dim=2) > 0).sum(dim=1)
    assert {int(n) for n in seen} == {1, 2, 4}
    # Of series that the thresholds were not drawn from, all shares but few are between the extremes.
    fresh = torch.from_numpy(procedural_series(Stream(11, "fresh"), 40, 4, 120))
    shares = features(fresh, 256)[:, :256].mean(dim=0)
    assert ((shares > 0.03) & (shares < 0.97)).double().mean() > 0.9


def test_gradients_reach_the_series_through_the_shares() -> None:
    series = some(2, 30).requires_grad_()
    features(series)[:, :12].sum().backward()
    assert series.grad is not None
    assert (series.grad.abs() > 1e-6).double().mean() > 0.5


def test_other_seeds_give_other_kernels() -> None:
    first, again, other = (parameters_of(4, 1, 30, seed)["body.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_procedural_series_are_of_every_smoothness() -> None:
    series = procedural_series(Stream(5, "procedural"), 8, 2, 300)
    np.testing.assert_allclose(series.mean(axis=2), 0, atol=1e-9)
    np.testing.assert_allclose(series.std(axis=2), 1, atol=1e-9)
    rough = np.abs(np.diff(series, axis=2)).mean(axis=(1, 2))
    # White noise, a random walk, and each smoothed: the walks are smoother than the noise, and smoothing helps noise.
    assert rough[0] > 5 * rough[1]
    assert rough[0] > rough[2] > rough[4] > rough[6]
