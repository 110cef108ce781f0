"""ConvNet for series: the paper's encoder with one dimension, which takes a series of any length."""

from torch import nn

from collabdm.errors import ConfigError, explain
from collabdm.networks.base import ACTIVATIONS, Network, norm_layer

__all__ = ["convnet1d", "series_shape"]

_POOLING = {"avg": nn.AvgPool1d, "max": nn.MaxPool1d}

# Pooling leaves at least the first number of steps, and is coarser than halving where more than the second would stay.
_LEAST, _MOST = 2, 32


def convnet1d(
    shape: tuple[int, ...],
    classes: int,
    *,
    width: int = 128,
    depth: int = 3,
    norm: str = "group",
    activation: str = "relu",
    pooling: str = "avg",
) -> Network:
    """`depth` blocks of convolution over 3 steps (`width` channels), norm, activation and pooling.

    Pooling halves the length; by more where over 32 steps would remain after all blocks, and not where fewer than two
    would. So every length has its network. The norm is over groups of channels by default: one of a single channel over
    a few steps would leave little but their signs. A single step has no spread for norm `instance`.
    """
    channels, length = series_shape("convnet1d", shape)
    if length == 1 and (norm == "instance" or (norm == "group" and width == 4)):
        expected, fix = "a norm that one step has", "set plan.network.norm=layer, or take longer series"
        raise ConfigError(explain("convnet1d on series of one step", got=f"{norm} norm", expected=expected, fix=fix))
    factor = next(f for f in range(2, length + 3) if length // f**depth <= _MOST)
    layers: list[nn.Module] = []
    for block in range(depth):
        layers.append(nn.Conv1d(channels if block == 0 else width, width, 3, padding=1))
        if norm != "none":
            layers.append(norm_layer(norm, width))
        layers.append(ACTIVATIONS[activation]())
        fold = min(factor, length // _LEAST)
        if pooling != "none" and fold > 1:
            layers.append(_POOLING[pooling](fold))
            length //= fold
    return Network(nn.Sequential(*layers), width * length, classes)


def series_shape(network: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """(channels, steps) of the samples. Raises `ConfigError` where they are no series."""
    if len(shape) != 2:
        fix = "choose a network for such samples (plan.network, evaluate.networks)"
        raise ConfigError(explain(f"samples of {network}", got=list(shape), expected="series [C, L]", fix=fix))
    channels, length = shape
    return channels, length
