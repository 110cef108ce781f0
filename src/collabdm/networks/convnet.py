"""ConvNet: the paper's encoder and default classifier (section 5.1; ConvNet-3-128 by default)."""

from torch import nn

from collabdm.networks.base import ACTIVATIONS, Network, image_shape, norm_layer, require_side

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

    28x28 single-channel input is padded to 32x32 by the first convolution. The smallest side is 2**depth.
    """
    channels, height, width_ = image_shape("convnet", shape)
    require_side("convnet", height, width_, 2**depth if pooling != "none" else 2)
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
