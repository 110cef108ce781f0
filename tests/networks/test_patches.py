"""The feature map of patches: golden filters, a slow reference, and what it does not see."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.networks.base import applied
from collabdm.randomness import Stream


def parameters_of(width: int, channels: int, seed: int = 7) -> dict[str, Tensor]:
    network = build_network(NetworkSpec(name="patches", width=width), (channels, 32, 32), 10)
    return initial_parameters(network, Stream(seed, "features"), embedding=True)


def features(samples: Tensor, width: int = 4) -> Tensor:
    network = build_network(NetworkSpec(name="patches", width=width), tuple(samples.shape[1:]), 10)
    parameters = {name: value.to(samples.dtype) for name, value in parameters_of(width, samples.shape[1]).items()}
    return applied(network, threads=False)(parameters, samples, embedding=True)


@pytest.mark.parametrize(
    ("channels", "digest"),
    [
        (1, "ea36d5de9d60587a93b00f4da24cb410e026ae495512626d2c41f13ec0696f51"),
        (3, "d8bacd8ac297c72d5301109a4f336bdba77f5b429637cc2e9bbcfaf59049e2eb"),
    ],
)
def test_filters_are_part_of_the_wire_format(channels: int, digest: str) -> None:
    weight = parameters_of(8, channels)["body.weight"]
    assert weight.shape == (8, channels, 6, 6)
    # Whole multiples of 2^-12, so that another machine's linear algebra gives the same.
    grains = weight.double().numpy() * 4096
    assert np.array_equal(grains, np.rint(grains))
    assert hashlib.sha256(np.rint(grains).astype("<i4").tobytes()).hexdigest() == digest


@settings(max_examples=20, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    sides=st.tuples(st.integers(8, 15), st.integers(8, 15)),
    norm=st.sampled_from(["none", "layer"]),
    seed=st.integers(0, 99),
)
def test_mirrored_patches_are_the_means_over_both(channels: int, sides: tuple[int, int], norm: str, seed: int) -> None:
    samples = torch.from_numpy(Stream(seed, "samples").uniform((3, channels, *sides), -2, 2))
    network = build_network(NetworkSpec(name="mirrored-patches", width=4, norm=norm), tuple(samples.shape[1:]), 10)
    own = initial_parameters(network, Stream(7, "features"), embedding=True)
    # The filters are those of `patches`, whose digest is above.
    assert [torch.equal(value, parameters_of(4, channels)["body.weight"]) for value in own.values()] == [True]
    embed = applied(network, threads=False)
    shown, mirrored = (
        embed({name: value.double() for name, value in own.items()}, view, embedding=True)
        for view in (samples, samples.flip(3))
    )
    assert torch.equal(shown, mirrored)
    expected = (features(samples) + features(samples.flip(3))) / 2
    if norm == "layer":
        expected = (expected - expected.mean(dim=1, keepdim=True)) / expected.std(dim=1, correction=0, keepdim=True)
    torch.testing.assert_close(shown, expected, atol=1e-5, rtol=1e-5)
    assert network.changed_by(("crop", "flip")) == ("crop",)


def test_filters_are_whitened_patches_that_do_not_see_a_constant() -> None:
    weight = parameters_of(64, 3)["body.weight"].double().flatten(1)
    assert weight.sum(dim=1).abs().max() < 108 * 2**-12
    # Whitening evens out what a filter looks at: raw patches of such pictures are nearly all low frequencies.
    low = torch.nn.functional.avg_pool2d(weight.view(64, 3, 6, 6), 3).square().sum() * 9
    assert low / weight.square().sum() < 0.35


def test_other_seeds_give_other_filters_and_a_wider_map_begins_otherwise_or_alike_by_the_same_rule() -> None:
    first, again, other = (parameters_of(4, 1, seed)["body.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("shape", [(3, 9, 12), (1, 8, 8)])
def test_features_equal_a_slow_reference(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    samples = torch.from_numpy(Stream(3, "samples").uniform((2, *shape), -2, 2))
    weight = parameters_of(4, channels)["body.weight"].double()
    down, across = height - 5, width - 5
    seen = torch.zeros(2, 8, down, across, dtype=torch.float64)
    for n in range(2):
        for i in range(down):
            for j in range(across):
                patch = samples[n, :, i : i + 6, j : j + 6].reshape(-1)
                patch = (patch - patch.mean()) / (patch.var(correction=0) + 0.04**2).sqrt()
                z = weight.flatten(1) @ patch
                seen[n, :, i, j] = torch.cat([(z - 0.5).relu(), (-z - 0.5).relu()])
    halves = [(slice(0, -(-n // 2)), slice(n // 2, n)) for n in (down, across)]
    expected = torch.stack([seen[:, :, a, b].mean(dim=(2, 3)) for a in halves[0] for b in halves[1]], dim=2)
    # Filters sum to nearly zero only, as they are rounded.
    torch.testing.assert_close(features(samples), expected.flatten(1), atol=2e-3, rtol=0)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-1, 1), scale=st.floats(0.5, 2))
def test_brightness_and_contrast_are_hardly_seen(shift: float, scale: float) -> None:
    samples = torch.from_numpy(Stream(4, "samples").uniform((2, 1, 12, 12), -2, 2))
    torch.testing.assert_close(features(scale * samples + shift), features(samples), atol=5e-3, rtol=0)


def test_a_plain_picture_has_no_features() -> None:
    assert not features(torch.full((1, 3, 16, 16), 0.7, dtype=torch.float64)).any()


def test_half_precision_keeps_the_contrast() -> None:
    samples = torch.from_numpy(Stream(5, "samples").uniform((4, 3, 16, 16), 1.5, 1.9)).float()
    half = features(samples.bfloat16()).float()
    exact = features(samples.bfloat16().float())
    assert half.dtype == torch.float32
    assert (half - exact).norm() / exact.norm() < 0.05
