"""A ConvNet's body on the compiled kernels: the same function as the network's own, several times as fast."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from collabdm.kernels.blocks import convolution, first_block, norm_block, places
from collabdm.kernels.library import library
from collabdm.networks.base import Network, Norm

__all__ = ["FusedBody", "fits", "fused_body"]

DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True, kw_only=True, eq=False)
class FusedBody:
    """`blocks`: names of the convolution's and the norm's parameters; `padding` of the first convolution."""

    blocks: tuple[tuple[str, str], ...]
    padding: int
    dtype: torch.dtype

    def placed(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters as the kernels want them: the later convolutions in the dtype, all else in float32.

        What `transformed` finds comes with them, unless it did before.
        """
        found = {
            name: value.to(self.dtype, memory_format=torch.channels_last) if name in self._later else value.float()
            for name, value in parameters.items()
        }
        return self.transformed(found) | found

    def transformed(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What later convolutions in float32 need of their weights for the way forward and back, without gradient:
        their `places` that are not among the parameters yet, so that chunks of one step may share them."""
        if self.dtype != torch.float32:
            return {}
        return {
            place: places(parameters[name], turned=bool(turned))
            for name in self._later
            for turned, place in enumerate(_places_of(name))
            if place not in parameters
        }

    @property
    def _later(self) -> list[str]:
        return [f"{convolved}.weight" for convolved, _ in self.blocks[1:]]

    def __call__(self, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Embeddings [n, d] in the dtype, of float32 images [n, C, H, W]; `parameters` are `placed`.

        The biases of the convolutions are not used: instance norm takes them away again.
        """
        out = images
        for number, (convolved, norm) in enumerate(self.blocks):
            weight = parameters[name := f"{convolved}.weight"]
            gamma, beta = parameters[f"{norm}.weight"], parameters[f"{norm}.bias"]
            if number == 0:
                out = first_block(out, weight, gamma, beta, self.padding, self.dtype)
            elif self.dtype == torch.float32:
                forward, back = (parameters[one] for one in _places_of(name))
                out = norm_block(convolution(out, weight, forward, back), gamma, beta)
            else:
                out = norm_block(functional.conv2d(out, weight, padding=1), gamma, beta)
        return out.flatten(1)


def fused_body(network: Network, dtype: torch.dtype) -> FusedBody | None:
    """The network's body on the kernels; None where it does not fit them, or they cannot be built here."""
    if dtype not in DTYPES or not fits(network) or library() is None:
        return None
    layers = list(network.body.children())
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    blocks = tuple((f"body.{i}", f"body.{i + 1}") for i in range(0, len(layers), 4))
    return FusedBody(blocks=blocks, padding=int(first.padding[0]), dtype=dtype)


def fits(network: Network) -> bool:
    """Whether it is a ConvNet of 3x3 convolutions (at most three colours, channels a multiple of 32), instance norm,
    ReLU and average pooling."""
    layers = list(network.body.children())
    blocks = [layers[i : i + 4] for i in range(0, len(layers), 4)]
    return bool(blocks) and all(_fits(block, first=block is blocks[0]) for block in blocks)


def _places_of(weight: str) -> tuple[str, str]:
    """Under which names a weight's places lie among the parameters: those of the way forward, those of the way back."""
    return f"{weight}.places", f"{weight}.places-turned"


def _fits(block: list[nn.Module], *, first: bool) -> bool:
    if len(block) != 4:
        return False
    convolution, norm, activation, pooling = block
    return (
        isinstance(convolution, nn.Conv2d)
        and convolution.kernel_size == (3, 3)
        and convolution.out_channels % 32 == 0
        and (convolution.in_channels <= 3 if first else convolution.padding == (1, 1))
        and isinstance(norm, Norm)
        and norm.groups == convolution.out_channels
        and isinstance(activation, nn.ReLU)
        and isinstance(pooling, nn.AvgPool2d)
        and pooling.kernel_size == 2
    )
