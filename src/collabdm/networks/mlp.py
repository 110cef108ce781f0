"""A multilayer perceptron: the encoder of samples whose values have no places, such as rows of a table."""

from torch import nn

from collabdm.networks.base import ACTIVATIONS, Network, norm_layer

__all__ = ["mlp"]


def mlp(
    shape: tuple[int, ...],
    classes: int,
    *,
    width: int = 256,
    depth: int = 2,
    norm: str = "layer",
    activation: str = "relu",
) -> Network:
    """`depth` hidden layers of `width`; the embedding is the last of them."""
    features = 1
    for size in shape:
        features *= size
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers.append(nn.Linear(features, width))
        if norm != "none":
            layers.append(norm_layer(norm, width))
        layers.append(ACTIVATIONS[activation]())
        features = width
    return Network(nn.Sequential(*layers), width, classes)
