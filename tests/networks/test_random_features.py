"""The feature map of rows: golden values, the kernel that it stands for, and any shape of a sample."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.networks.base import applied
from collabdm.randomness import Stream


def drawn(width: int, columns: int, seed: int = 7) -> dict[str, Tensor]:
    network = build_network(NetworkSpec(name="random-features", width=width), (columns,), 3)
    return initial_parameters(network, Stream(seed, "features"), embedding=True)


def features(rows: Tensor, width: int) -> Tensor:
    network = build_network(NetworkSpec(name="random-features", width=width), tuple(rows.shape[1:]), 3)
    parameters = {name: value.double() for name, value in drawn(width, rows[0].numel()).items()}
    return applied(network, threads=False)(parameters, rows, embedding=True)


def test_features_are_part_of_the_wire_format() -> None:
    found = drawn(8, 5)
    digest = hashlib.sha256()
    for name in ("body.1.weight", "body.1.bias"):
        grains = found[name].double().numpy() * 4096
        # Whole multiples of 2^-12, so that another order of arithmetic gives the same.
        assert np.array_equal(grains, np.rint(grains))
        digest.update(np.rint(grains).astype("<i4").tobytes())
    assert digest.hexdigest() == "855b319e78a7d8db8a5cf9b35607b512794399444fc63dd2f184d4164b62d410"


def test_products_stand_for_the_mixture_of_gaussian_kernels() -> None:
    rows = torch.from_numpy(Stream(1, "rows").uniform((6, 4), -1, 1))
    found = features(rows, 4096)
    kernel = found @ found.T
    squares = (rows[:, None] - rows[None]).square().sum(dim=2)
    frequencies = torch.from_numpy(2.0 * 5.0 ** np.linspace(0, 1, 400))
    expected = torch.exp(-squares[..., None] * frequencies**2 / (2 * 4)).mean(dim=2)
    # Monte Carlo: a standard error of about 1/64.
    assert (kernel - expected).abs().max() < 0.06


def test_a_sample_of_any_shape_is_seen_as_a_row() -> None:
    samples = torch.from_numpy(Stream(2, "samples").uniform((3, 2, 6), -1, 1))
    assert torch.equal(features(samples, 16), features(samples.flatten(1), 16))
