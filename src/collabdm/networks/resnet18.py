"""ResNet18 in the dataset-distillation literature's form for small images (3x3 stem, instance norm)."""

from torch import Tensor, nn

from collabdm.networks.base import ACTIVATIONS, Network, image_shape, norm_layer, require_side

__all__ = ["resnet18"]


def resnet18(shape: tuple[int, ...], classes: int, *, norm: str = "instance", activation: str = "relu") -> Network:
    """Four stages of two residual blocks, then the mean over positions: 512 features; side >= 16."""
    channels, height, width = image_shape("resnet18", shape)
    require_side("resnet18", height, width, 16)
    layers: list[nn.Module] = [*_conv_norm(channels, 64, 3, 1, norm), ACTIVATIONS[activation]()]
    width_in = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for block_stride in (stride, 1):
            layers.append(_Block(width_in, out, block_stride, norm, activation))
            width_in = out
    layers.append(nn.AdaptiveAvgPool2d(1))
    return Network(nn.Sequential(*layers), 512, classes)


class _Block(nn.Module):
    def __init__(self, channels: int, out: int, stride: int, norm: str, activation: str) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.residual = nn.Sequential(
            *_conv_norm(channels, out, 3, stride, norm), act(), *_conv_norm(out, out, 3, 1, norm)
        )
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv_norm(channels, out, 1, stride, norm))
        self.activation = act()

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.residual(images) + self.shortcut(images))


def _conv_norm(channels: int, out: int, kernel: int, stride: int, norm: str) -> list[nn.Module]:
    bias = norm == "none"
    convolution = nn.Conv2d(channels, out, kernel, stride=stride, padding=kernel // 2, bias=bias)
    return [convolution] if norm == "none" else [convolution, norm_layer(norm, out)]
