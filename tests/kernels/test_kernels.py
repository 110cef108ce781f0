"""The compiled kernels against torch's own layers in float64: values, gradients, and what they refuse to serve."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from collabdm.kernels import compiler, fits, fused_body
from collabdm.kernels.blocks import convolution, first_block, norm_block, places
from collabdm.networks import NetworkSpec, build_network
from collabdm.randomness import Stream

pytestmark = pytest.mark.skipif(compiler() is None, reason="the kernels need a C++ compiler")
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1.5e-2}


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(Stream(seed, "tensor").uniform(shape, -1.5, 1.5)).float()


def plain_norm(images: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    normed = functional.group_norm(images, len(gamma), gamma, beta, eps=1e-5)
    return functional.avg_pool2d(functional.relu(normed), 2)


def relative(a: Tensor, b: Tensor) -> float:
    a, b = a.detach(), b.detach()
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-12))


def compare(ours: Tensor, plain: Tensor, leaves: Sequence[Tensor], exact: Sequence[Tensor], tolerance: float) -> None:
    assert ours.shape == plain.shape
    assert relative(ours, plain) < tolerance
    weights = uniform(9, *plain.shape).double()
    got = torch.autograd.grad((ours.double() * weights).sum(), leaves)
    wanted = torch.autograd.grad((plain * weights).sum(), exact)
    for one, other in zip(got, wanted, strict=True):
        assert relative(one, other) < 6 * tolerance


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 3),
    colours=st.integers(1, 3),
    height=st.integers(2, 19),
    width=st.integers(2, 19),
    padding=st.integers(1, 3),
    channels=st.sampled_from([32, 96]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_the_first_block(
    n: int, colours: int, height: int, width: int, padding: int, channels: int, dtype: torch.dtype
) -> None:
    leaves = (
        uniform(1, n, colours, height, width),
        uniform(2, channels, colours, 3, 3) / 3,
        1 + 0.3 * uniform(3, channels),
        0.3 * uniform(4, channels),
    )
    exact = tuple(leaf.double() for leaf in leaves)
    for leaf in (*leaves, *exact):
        leaf.requires_grad_()
    images, weight, gamma, beta = leaves
    ours = first_block(images, weight, gamma, beta, padding, dtype)
    assert ours.dtype == dtype
    plain = plain_norm(functional.conv2d(exact[0], exact[1], padding=padding), exact[2], exact[3])
    compare(ours, plain, leaves, exact, TOLERANCE[dtype])


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 3),
    height=st.integers(2, 17),
    width=st.integers(2, 17),
    channels=st.sampled_from([32, 64]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_the_norm_block(n: int, height: int, width: int, channels: int, dtype: torch.dtype) -> None:
    # The same rounded values on both sides: only the kernel's own error is measured.
    leaves = uniform(1, n, channels, height, width).to(dtype), 1 + 0.3 * uniform(2, channels), uniform(3, channels)
    exact = tuple(leaf.double() for leaf in leaves)
    for leaf in (*leaves, *exact):
        leaf.requires_grad_()
    compare(norm_block(*leaves), plain_norm(*exact), leaves, exact, TOLERANCE[dtype])


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 5),
    height=st.integers(1, 17),
    width=st.integers(1, 17),
    given_channels=st.sampled_from([32, 64]),
    channels=st.sampled_from([32, 96]),
)
def test_the_later_convolutions(n: int, height: int, width: int, given_channels: int, channels: int) -> None:
    images, weight = leaves = (
        uniform(1, n, given_channels, height, width),
        uniform(2, channels, given_channels, 3, 3) / 20,
    )
    exact = tuple(leaf.double() for leaf in leaves)
    for leaf in (*leaves, *exact):
        leaf.requires_grad_()
    plain = functional.conv2d(exact[0], exact[1], padding=1)
    compare(
        convolution(images, weight, places(weight), places(weight, turned=True)),
        plain,
        leaves,
        exact,
        TOLERANCE[torch.float32],
    )


def test_a_convolution_of_threads_and_chunks_is_the_same_to_the_bit() -> None:
    # More tiles than are transformed together, and not a multiple of them.
    images, weight = uniform(1, 7, 32, 15, 13), uniform(2, 64, 32, 3, 3)

    def run(threads: int, chunk: int) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            inputs = images.clone().requires_grad_(), weight.clone().requires_grad_()
            out = torch.cat(
                [
                    convolution(part, inputs[1], places(weight), places(weight, turned=True))
                    for part in inputs[0].split(chunk)
                ]
            )
            return [out, *torch.autograd.grad(out.square().sum(), inputs)]
        finally:
            torch.set_num_threads(before)

    whole = run(1, 7)
    assert all(torch.equal(a, b) for a, b in zip(whole, run(3, 7), strict=True))
    # Sums over images, the weights' gradient alone, may round otherwise chunk by chunk.
    assert all(torch.equal(a, b) for a, b in zip(whole[:2], run(1, 2)[:2], strict=True))


def test_a_flat_image_has_no_noise_blown_up() -> None:
    out = norm_block(torch.full((1, 32, 8, 8), 1000.1), torch.ones(32), torch.full((32,), 0.25))
    torch.testing.assert_close(out, torch.full((1, 32, 4, 4), 0.25), rtol=0, atol=0)


def test_threads_change_not_a_bit() -> None:
    leaves = uniform(1, 7, 3, 16, 16), uniform(2, 32, 3, 3, 3), uniform(3, 32), uniform(4, 32)

    def run(threads: int) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            images, weight, gamma, beta = inputs = [leaf.clone().requires_grad_() for leaf in leaves]
            out = first_block(images, weight, gamma, beta, 1, torch.bfloat16)
            return [out, *torch.autograd.grad(out.float().square().sum(), inputs)]
        finally:
            torch.set_num_threads(before)

    assert all(torch.equal(a, b) for a, b in zip(run(1), run(3), strict=True))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (NetworkSpec(), True),
        (NetworkSpec(width=32, depth=1), True),
        (NetworkSpec(width=40), False),
        (NetworkSpec(norm="group"), False),
        (NetworkSpec(norm="none"), False),
        (NetworkSpec(activation="sigmoid"), False),
        (NetworkSpec(pooling="max"), False),
        (NetworkSpec(pooling="none"), False),
        (NetworkSpec(name="alexnet"), False),
        (NetworkSpec(name="vgg11"), False),
        (NetworkSpec(name="resnet18"), False),
    ],
)
def test_only_what_the_kernels_know_is_given_to_them(spec: NetworkSpec, expected: bool) -> None:
    network = build_network(spec, (3, 32, 32), 10)
    assert fits(network) is expected
    assert (fused_body(network, torch.bfloat16) is not None) is expected
    assert fused_body(network, torch.float64) is None


def test_four_colours_are_too_many() -> None:
    assert not fits(build_network(NetworkSpec(), (4, 32, 32), 10))
