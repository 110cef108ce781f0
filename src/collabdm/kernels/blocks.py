"""A ConvNet's blocks on the compiled kernels, differentiable: images or weights, once."""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from collabdm.kernels.library import library

__all__ = ["convolution", "first_block", "norm_block", "places"]

_PLACES = 36


def first_block(
    images: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, padding: int, dtype: torch.dtype
) -> Tensor:
    """3x3 convolution, instance norm, ReLU and 2x2 average pooling of images [n, C <= 3, H, W].

    `weight` [channels, C, 3, 3] and the norm's `gamma` and `beta` [channels] are float32, channels a multiple of 32.
    The result [n, channels, h, w] is of `dtype` (float32 or bfloat16), channels last. The convolution's bias is left
    out because the norm takes it away again.
    """
    return _FirstBlock.apply(images, weight, gamma, beta, padding, dtype)  # pyright: ignore[reportReturnType]


def norm_block(images: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Instance norm, ReLU and 2x2 average pooling of [n, channels, H, W], float32 or bfloat16, channels last."""
    return _NormBlock.apply(images, gamma, beta)  # pyright: ignore[reportReturnType]


def places(weight: Tensor, *, turned: bool = False) -> Tensor:
    """What `convolution` multiplies by: float32 weights [out, in, 3, 3] at the 36 places of Winograd's F(4x4, 3x3).

    `turned`: those of the way back to the images, [in, out, 3, 3] turned around. Without gradient.
    """
    weight = weight.detach().permute((0, 2, 3, 1) if turned else (1, 2, 3, 0)).contiguous()
    inward, outward = len(weight), weight.shape[-1]
    out = torch.empty(_PLACES * inward * outward)
    _call("winograd_places", torch.float32, weight, inward, outward, int(turned), out)
    return out


def convolution(images: Tensor, weight: Tensor, placed: Tensor, turned: Tensor) -> Tensor:
    """3x3 convolution with a border of one zero, in float32: [n, in, H, W] to [n, out, H, W], channels last.

    `weight` [out, in, 3, 3], channels multiples of 32, and its `places`, as they are and `turned`. A fourth of a direct
    convolution's products.
    """
    return _Convolution.apply(images, weight, placed, turned)  # pyright: ignore[reportReturnType]


class _FirstBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, padding: int, dtype: torch.dtype
    ) -> Tensor:
        images, weight = images.contiguous(), weight.contiguous()
        gamma, beta = gamma.contiguous(), beta.contiguous()
        n, channels = len(images), len(weight)
        height, width = (side + 2 * padding - 2 for side in images.shape[2:])
        out = _channels_last(n, channels, height // 2, width // 2, dtype)
        mean, scale = torch.empty(n, channels), torch.empty(n, channels)
        by_tap = weight.flatten(1).t().contiguous()
        arguments = (*images.shape[1:], padding, by_tap, channels, gamma, beta, out, mean, scale)
        _call("first_forward", dtype, images, n, *arguments)
        ctx.save_for_backward(images, weight, gamma, beta, mean, scale)
        ctx.padding = padding
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        images, weight, gamma, beta, mean, scale = ctx.saved_tensors
        n, channels, by_tap = len(images), len(weight), weight.flatten(1).t().contiguous()
        taps = len(by_tap)
        at_images = torch.empty_like(images) if ctx.needs_input_grad[0] else None
        at_weight = torch.empty(n, taps, channels) if ctx.needs_input_grad[1] else None
        at_gamma, at_beta = torch.empty(n, channels), torch.empty(n, channels)
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        given = (*images.shape[1:], ctx.padding, by_tap, channels, gamma, beta, mean, scale, grad)
        _call("first_backward", grad.dtype, images, n, *given, at_images, at_weight, at_gamma, at_beta)
        at_weight = None if at_weight is None else at_weight.sum(0).t().view_as(weight)
        return at_images, at_weight, at_gamma.sum(0), at_beta.sum(0), None, None


class _NormBlock(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        gamma, beta = gamma.contiguous(), beta.contiguous()
        n, channels, height, width = images.shape
        out = _channels_last(n, channels, height // 2, width // 2, images.dtype)
        mean, scale = torch.empty(n, channels), torch.empty(n, channels)
        _call("norm_forward", images.dtype, images, n, height, width, channels, gamma, beta, out, mean, scale)
        ctx.save_for_backward(images, gamma, beta, mean, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        images, gamma, beta, mean, scale = ctx.saved_tensors
        n, channels, height, width = images.shape
        grad, at_images = grads[0].contiguous(memory_format=torch.channels_last), torch.empty_like(images)
        at_gamma, at_beta = torch.empty(n, channels), torch.empty(n, channels)
        given = (height, width, channels, gamma, beta, mean, scale, grad)
        _call("norm_backward", images.dtype, images, n, *given, at_images, at_gamma, at_beta)
        return at_images, at_gamma.sum(0), at_beta.sum(0)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, placed: Tensor, turned: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(images, weight, turned)
        return _convolved(images, placed, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        images, weight, turned = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        n, channels, height, width = images.shape
        at_images = at_weight = None
        if ctx.needs_input_grad[0]:
            at_images = _convolved(grad, turned, channels)
        if ctx.needs_input_grad[1]:
            by_tap = torch.empty(channels, 3, 3, len(weight))
            given = (n, height, width, channels, grad, len(weight), by_tap)
            _call("winograd_at_weights", torch.float32, images, *given)
            at_weight = by_tap.permute(3, 0, 1, 2)
        return at_images, at_weight, None, None


def _convolved(images: Tensor, placed: Tensor, channels: int) -> Tensor:
    n, given, height, width = images.shape
    out = _channels_last(n, channels, height, width, torch.float32)
    _call("winograd_forward", torch.float32, images, n, height, width, given, placed, channels, out)
    return out


def _channels_last(n: int, channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(n, height, width, channels, dtype=dtype).permute(0, 3, 1, 2)


def _call(name: str, dtype: torch.dtype, *arguments: Tensor | int | None) -> None:
    """Call a kernel with torch's number of threads; tensors go as pointers, None as a null pointer."""
    function = getattr(library(), f"{name}_{str(dtype).removeprefix('torch.')}")
    converted = [
        ctypes.c_int(a) if isinstance(a, int) else ctypes.c_void_p(None if a is None else a.data_ptr())
        for a in arguments
    ]
    function(*converted, ctypes.c_int(torch.get_num_threads()))
