"""Networks: each is both a random encoder and a classifier. A new one is one file and one line in `NETWORKS`."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

import torch
from pydantic import BaseModel, Field

from collabdm.errors import ConfigError, explain
from collabdm.networks.alexnet import alexnet
from collabdm.networks.base import (
    ACTIVATIONS,
    NORMS,
    PER_SAMPLE_NORMS,
    BatchNorm,
    Network,
    applied,
    initial_parameters,
    initial_running,
)
from collabdm.networks.convnet import POOLING, convnet
from collabdm.networks.convnet1d import convnet1d
from collabdm.networks.mlp import mlp
from collabdm.networks.patches import mirrored_patches, patches
from collabdm.networks.random_features import random_features
from collabdm.networks.resnet18 import resnet18
from collabdm.networks.rocket import rocket
from collabdm.networks.vgg11 import vgg11
from collabdm.registry import Table, named_in

__all__ = [
    "NETWORKS",
    "Architecture",
    "BatchNorm",
    "ClassifierSpec",
    "Network",
    "NetworkSpec",
    "applied",
    "build_network",
    "initial_parameters",
    "initial_running",
    "spelled_out",
]

NETWORKS: dict[str, Callable[..., Network]] = Table(
    {
        "convnet": convnet,
        "alexnet": alexnet,
        "vgg11": vgg11,
        "resnet18": resnet18,
        "patches": patches,
        "mirrored-patches": mirrored_patches,
        "convnet1d": convnet1d,
        "rocket": rocket,
        "mlp": mlp,
        "random-features": random_features,
    }
)
"""From the shape of a sample, the number of classes, and keyword parameters of `Architecture`, to a network."""


PerSampleNorm = Annotated[str, named_in(dict.fromkeys(PER_SAMPLE_NORMS))]
AnyNorm = Annotated[str, named_in(dict.fromkeys(NORMS))]
N = TypeVar("N", bound=str)


class Architecture(BaseModel, Generic[N], frozen=True, extra="forbid"):
    """Which network, and its parameters; what is None takes the network's own default."""

    name: Annotated[str, named_in(NETWORKS)] = "convnet"
    width: Annotated[int, Field(ge=4, le=4096, multiple_of=4)] | None = None
    depth: Annotated[int, Field(ge=1, le=8)] | None = None
    norm: N | None = None
    activation: Annotated[str, named_in(ACTIVATIONS)] | None = None
    pooling: Annotated[str, named_in(dict.fromkeys((*POOLING, "none")))] | None = None

    @property
    def label(self) -> str:
        """For people: the name and what is set, as in `convnet depth=2 norm=batch`."""
        given = self.model_dump(exclude={"name"}, exclude_none=True)
        return " ".join([self.name, *(f"{name}={value}" for name, value in given.items())])


class NetworkSpec(Architecture[PerSampleNorm], frozen=True, extra="forbid"):
    """A network that may be an encoder: its norm treats every sample by itself."""


class ClassifierSpec(Architecture[AnyNorm], frozen=True, extra="forbid"):
    """A network that is only a classifier: so batch norm is possible too, and the default."""

    norm: AnyNorm | None = "batch"


def build_network(spec: Architecture[Any], shape: tuple[int, ...], classes: int) -> Network:
    """The network for samples of `shape` ((C, H, W) for images), without parameter values (on torch's meta device).

    Its parameters come from `initial_parameters`, and are passed by `torch.func.functional_call`.
    Raises `ConfigError` where the samples are none for it or too small, or it has no such parameter.
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
        return make(shape, classes, **given)


def spelled_out(spec: Architecture[Any]) -> str:
    """For people: the name and every parameter, also those that are left at the network's own default, as in
    `convnet width=128 depth=3 norm=instance activation=relu pooling=avg`."""
    parameters = inspect.signature(NETWORKS[spec.name]).parameters.values()
    usual = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
    given = spec.model_dump(exclude={"name"}, exclude_none=True)
    return " ".join([spec.name, *(f"{name}={value}" for name, value in (usual | given).items())])
