"""VGG11 in the dataset-distillation literature's form for small images (instance norm, one linear layer)."""

from torch import nn

from collabdm.networks.base import ACTIVATIONS, Network, image_shape, norm_layer, require_side

__all__ = ["vgg11"]

PLAN = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")


def vgg11(shape: tuple[int, ...], classes: int, *, norm: str = "instance", activation: str = "relu") -> Network:
    """Eight 3x3 convolutions with five 2x2 max poolings; 28x28 single-channel input is padded to 32x32; side >= 32."""
    channels, height, width = image_shape("vgg11", shape)
    padding = 3 if (channels, height, width) == (1, 28, 28) else 1
    height, width = height + 2 * (padding - 1), width + 2 * (padding - 1)
    require_side("vgg11", height, width, 32)
    layers: list[nn.Module] = []
    for step in PLAN:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(channels, step, 3, padding=padding))
        if norm != "none":
            layers.append(norm_layer(norm, step))
        layers.append(ACTIVATIONS[activation]())
        channels, padding = step, 1
    return Network(nn.Sequential(*layers), 512 * (height // 32) * (width // 32), classes)
