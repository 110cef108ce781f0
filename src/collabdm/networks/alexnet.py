"""AlexNet in the dataset-distillation literature's form for small images (no norm by default)."""

from torch import nn

from collabdm.networks.base import ACTIVATIONS, Network, image_shape, norm_layer, require_side

__all__ = ["alexnet"]


def alexnet(shape: tuple[int, ...], classes: int, *, norm: str = "none", activation: str = "relu") -> Network:
    """Five convolutions with three 2x2 max poolings; 28x28 single-channel input is padded to 32x32; side >= 8."""
    channels, height, width = image_shape("alexnet", shape)
    require_side("alexnet", height, width, 8 if norm == "none" else 16)
    padding = 4 if (channels, height, width) == (1, 28, 28) else 2
    height, width = height + 2 * (padding - 2), width + 2 * (padding - 2)
    layers: list[nn.Module] = []
    for index, (kernel, out, pool) in enumerate(
        ((5, 128, True), (5, 192, True), (3, 256, False), (3, 192, False), (3, 192, True))
    ):
        layers.append(nn.Conv2d(channels, out, kernel, padding=padding if index == 0 else kernel // 2))
        if norm != "none":
            layers.append(norm_layer(norm, out))
        layers.append(ACTIVATIONS[activation]())
        if pool:
            layers.append(nn.MaxPool2d(2))
        channels = out
    return Network(nn.Sequential(*layers), 192 * (height // 8) * (width // 8), classes)
