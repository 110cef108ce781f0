"""Networks: each is both a random encoder and a classifier. A new one is one file and one line in `NETWORKS`."""

import inspect
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field

from collabdm.errors import ConfigError, explain
from collabdm.networks.alexnet import alexnet
from collabdm.networks.base import Network, applied, initial_parameters
from collabdm.networks.convnet import convnet
from collabdm.networks.resnet18 import resnet18
from collabdm.networks.vgg11 import vgg11

__all__ = ["NETWORKS", "Network", "NetworkSpec", "applied", "build_network", "initial_parameters"]

NETWORKS: dict[str, Callable[..., Network]] = {
    "convnet": convnet,
    "alexnet": alexnet,
    "vgg11": vgg11,
    "resnet18": resnet18,
}


class NetworkSpec(BaseModel, frozen=True, extra="forbid"):
    """Which network, and its parameters; what is None takes the network's own default."""

    name: Literal["convnet", "alexnet", "vgg11", "resnet18"] = "convnet"
    width: Annotated[int, Field(ge=4, le=4096, multiple_of=4)] | None = None
    depth: Annotated[int, Field(ge=1, le=8)] | None = None
    norm: Literal["instance", "layer", "group", "none"] | None = None
    activation: Literal["relu", "leaky-relu", "sigmoid"] | None = None
    pooling: Literal["avg", "max", "none"] | None = None


def build_network(spec: NetworkSpec, shape: tuple[int, int, int], classes: int) -> Network:
    """The network for images of `shape` (C, H, W), without parameter values (on torch's meta device).

    Its parameters come from `initial_parameters`, and are passed by `torch.func.functional_call`.
    Raises `ConfigError` where the images are too small for it or it has no such parameter.
    """
    make = NETWORKS[spec.name]
    given = spec.model_dump(exclude={"name"}, exclude_none=True)
    known = [name for name, p in inspect.signature(make).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in given:
        if name not in known:
            raise ConfigError(
                explain(
                    f"network {spec.name}",
                    got=f"{name}={given[name]}",
                    expected=f"one of {known}",
                    fix=f"drop {name}",
                )
            )
    with torch.device("meta"):
        return make(*shape, classes, **given)
