"""ConvNet: the paper's encoder and default classifier (section 5.1; ConvNet-3-128 by default)."""

from torch import nn

from collabdm.errors import ConfigError, explain
from collabdm.networks.base import ACTIVATIONS, Network, image_shape, norm_layer

__all__ = ["convnet"]

POOLING = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


def convnet(
    shape: tuple[int, ...],
    classes: int,
    *,
    width: int = 128,
    depth: int = 3,
    norm: str = "instance",
    activation: str = "relu",
    pooling: str = "avg",
) -> Network:
    """`depth` blocks of 3x3 convolution (`width` channels), norm, activation and 2x2 pooling.

    28x28 single-channel input is padded to 32x32 by the first convolution. The smallest side is 2**depth with pooling
    and 1 without; a single pixel has no spread for a norm over positions, so it goes with norm `layer` or `none`.
    """
    channels, height, width_ = image_shape("convnet", shape)
    _check_size(height, width_, depth, norm, pooling)
    padding = 3 if (channels, height, width_) == (1, 28, 28) else 1
    height, width_ = height + 2 * (padding - 1), width_ + 2 * (padding - 1)
    layers: list[nn.Module] = []
    for block in range(depth):
        layers.append(nn.Conv2d(channels if block == 0 else width, width, 3, padding=padding if block == 0 else 1))
        if norm != "none":
            layers.append(norm_layer(norm, width))
        layers.append(ACTIVATIONS[activation]())
        if pooling != "none":
            layers.append(POOLING[pooling](2))
            height, width_ = height // 2, width_ // 2
    return Network(nn.Sequential(*layers), width * height * width_, classes)


def _check_size(height: int, width: int, depth: int, norm: str, pooling: str) -> None:
    side, single = min(height, width), height == width == 1 and norm not in ("layer", "none")
    what = f"convnet on {height}x{width} images"
    if pooling != "none" and side < 2**depth:
        deepest = side.bit_length() - 1
        unpooled = "plan.network.pooling=none" + (" with plan.network.norm=layer" if single else "")
        fix = f"set plan.network.depth={deepest} or less, or {unpooled}" if deepest else f"set {unpooled}"
        got, expected = f"a side of {side}", f"at least {2**depth}, as pooling halves it {depth}x"
        raise ConfigError(explain(what, got=got, expected=expected, fix=f"{fix}, or take larger images"))
    if pooling == "none" and single:
        expected, fix = "a norm that one pixel has", "set plan.network.norm=layer, or take larger images"
        raise ConfigError(explain(what, got=f"{norm} norm", expected=expected, fix=fix))
