"""What every network here is: a random encoder and a classifier with the same body."""

import copy
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from collabdm.errors import ConfigError, explain
from collabdm.randomness import Stream

__all__ = [
    "ACTIVATIONS",
    "NORMS",
    "PER_SAMPLE_NORMS",
    "BatchNorm",
    "Initialised",
    "Network",
    "Norm",
    "Standardised",
    "applied",
    "feature_body",
    "image_shape",
    "initial_parameters",
    "initial_running",
    "norm_layer",
    "require_side",
]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.01),
    "sigmoid": nn.Sigmoid,
}
# Groups of a per-sample norm, of so many channels; `none` has no layer, `batch` mixes samples.
_GROUPS: dict[str, Callable[[int], int]] = {
    "instance": lambda channels: channels,
    "layer": lambda channels: 1,
    "group": lambda channels: 4,
}


# Layers whose weights and biases are drawn uniformly.
_UNIFORM = (nn.Conv1d, nn.Conv2d, nn.Linear)


class Network(nn.Module):
    """A body whose flattened output is the embedding, and one linear layer on top for classification.

    No layer of an encoder may mix the samples of a batch: only then are sums over samples additive over clients, and
    chunks of a batch exact. So batch norm is for the classifiers of a `ClassifierSpec` alone, which a judge may be.
    """

    def __init__(
        self,
        body: nn.Module,
        features: int,
        classes: int,
        *,
        unchanged_by: tuple[str, ...] = (),
        quartered: bool = False,
    ) -> None:
        """`features`: the length d of one embedding; `classes`: the number of logits; `unchanged_by`: operations of an
        augmentation, by name, that change no embedding at all; `quartered`: whether every four numbers side by side are
        of the quarters of an image and nearly alike, which few bits on the wire must not blur."""
        super().__init__()
        self.body = body
        self.classifier = nn.Linear(features, classes)
        self.features = features
        self.unchanged_by = unchanged_by
        self.quartered = quartered

    def forward(self, samples: Tensor, *, embedding: bool = False) -> Tensor:
        """Samples [n, *shape], as a modality gives them, to logits [n, classes]; with `embedding` to embeddings."""
        embedded = self.body(samples).flatten(1)
        return embedded if embedding else self.classifier(embedded)

    def changed_by(self, operations: Sequence[str]) -> tuple[str, ...]:
        """Those of the operations that may change an embedding: in other views the network need not be asked."""
        return tuple(name for name in operations if name not in self.unchanged_by)


class Initialised(nn.Module, ABC):
    """A layer that knows its own initial values."""

    @abstractmethod
    def initial(self, stream: Stream) -> dict[str, Tensor]:
        """Its parameters by name, float32 on the CPU, the same to the bit on every machine."""


class Norm(nn.Module):
    """Instance, layer or group (four groups) normalisation with affine parameters, per sample."""

    def __init__(self, kind: str, channels: int) -> None:
        """`kind`: one of those in `NORMS` that treat every sample by itself."""
        super().__init__()
        self.groups = _GROUPS[kind](channels)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, images: Tensor) -> Tensor:
        """[n, C, H, W] to the same shape."""
        return functional.group_norm(images, self.groups, self.weight, self.bias, eps=1e-5)


class Standardised(nn.Module):
    """Every sample's numbers, less their mean and over their standard deviation; nothing is learned."""

    def forward(self, values: Tensor) -> Tensor:
        """[n, ...] to [n, d]."""
        flat = values.flatten(1)
        exact = flat if flat.dtype == torch.float64 else flat.float()
        apart = exact - exact.mean(dim=1, keepdim=True)
        return (apart * (apart.square().mean(dim=1, keepdim=True) + 1e-12).rsqrt()).to(values.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation: of the batch where the module is in training, else of the running statistics.

    A batch with a single value of each channel has no spread: it is normalised by the running statistics too. Else in
    training `running_mean` and `running_var` move a tenth of the way to the batch's, in place: a caller that wants
    them functional passes copies (`torch.func.functional_call`) and takes these as the new ones.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        """Affine parameters at 1 and 0, running statistics of a standard normal."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, images: Tensor) -> Tensor:
        """[n, C, H, W] to the same shape."""
        # A single value of a channel has no spread: the last batch of one sample, where the network's maps are a pixel.
        own = self.training and images.numel() > images.shape[1]
        return functional.batch_norm(
            images, self.running_mean, self.running_var, self.weight, self.bias, own, 0.1, 1e-5
        )


def norm_layer(kind: str, channels: int) -> nn.Module:
    """The layer of a `kind` from `NORMS`, but not `none`."""
    return BatchNorm(channels) if kind == "batch" else Norm(kind, channels)


PER_SAMPLE_NORMS = (*_GROUPS, "none")
NORMS = (*PER_SAMPLE_NORMS, "batch")


def feature_body(network: str, body: nn.Module, norm: str) -> nn.Module:
    """The body of a feature map, whose embeddings are `Standardised` with the `norm` layer and as they are with none.

    Raises `ConfigError` for another norm.
    """
    if norm not in ("none", "layer"):
        raise ConfigError(explain(f"norm of {network}", got=norm, expected="none or layer", fix="choose one of them"))
    return body if norm == "none" else nn.Sequential(body, Standardised())


def applied(network: Network, *, threads: bool) -> Callable[..., Tensor]:
    """`network` as a function (parameters, images, **options); with `threads`, several may call it at once.

    Torch's `functional_call` sets the parameters on the module while it runs, so each thread gets a module of its own.
    Torch's compiler wants a single one.
    """
    own = threading.local()

    def apply(parameters: Mapping[str, Tensor], images: Tensor, **options: bool) -> Tensor:
        if threads and not hasattr(own, "network"):
            own.network = copy.deepcopy(network)
        module = own.network if threads else network
        return functional_call(module, dict(parameters), (images,), options, strict=False)

    return apply


def initial_parameters(network: Network, stream: Stream, *, embedding: bool = False) -> dict[str, Tensor]:
    """Fresh parameters by name, float32 on the CPU, the same to the bit on every machine.

    Weights and biases of convolutions and linear layers are uniform in +-1/sqrt(fan_in) (torch's default), drawn in
    the order of `named_modules`, weight before bias; norms start at 1 and 0; a layer that is `Initialised` gives its
    own. The classifier comes last, and is left out with `embedding`. Raises `ConfigError` for a layer with parameters
    for which no initial values are known here.
    """
    parameters: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if embedding and module is network.classifier:
            continue
        if isinstance(module, _UNIFORM):
            bound = 1.0 / math.sqrt(module.weight[0].numel())
            parameters[f"{name}.weight"] = _uniform(stream, module.weight.shape, bound)
            if module.bias is not None:
                parameters[f"{name}.bias"] = _uniform(stream, module.bias.shape, bound)
        elif isinstance(module, Initialised):
            parameters |= {f"{name}.{key}": value for key, value in module.initial(stream).items()}
        elif isinstance(module, Norm | BatchNorm):
            parameters[f"{name}.weight"] = torch.ones(module.weight.shape)
            parameters[f"{name}.bias"] = torch.zeros(module.bias.shape)
        elif own := [
            key for named in (module.named_parameters, module.named_buffers) for key, _ in named(recurse=False)
        ]:
            got = f"{type(module).__name__} ({name}) with {', '.join(own)}"
            known = ", ".join(kind.__name__ for kind in (*_UNIFORM, Norm, BatchNorm, Initialised))
            fix = "build the network of these, or make the layer an Initialised that gives its own initial values"
            raise ConfigError(explain("layer of a network", got=got, expected=f"one of {known}", fix=fix))
    return parameters


def initial_running(network: Network) -> dict[str, Tensor]:
    """Running statistics of the batch norms, by name, before any batch: means 0 and variances 1; else empty."""
    running: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, BatchNorm):
            running[f"{name}.running_mean"] = torch.zeros(module.running_mean.shape)
            running[f"{name}.running_var"] = torch.ones(module.running_var.shape)
    return running


def image_shape(network: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W) of the samples. Raises `ConfigError` where they are no images."""
    if len(shape) != 3:
        fix = "choose a network for such samples (plan.network, evaluate.networks)"
        raise ConfigError(explain(f"samples of {network}", got=list(shape), expected="images [C, H, W]", fix=fix))
    channels, height, width = shape
    return channels, height, width


def require_side(network: str, height: int, width: int, smallest: int) -> None:
    """Raise `ConfigError` where an image is too small for the network's pooling and norms."""
    if min(height, width) < smallest:
        raise ConfigError(
            explain(
                f"{network} on {height}x{width} images",
                got=f"a side of {min(height, width)}",
                expected=f"at least {smallest}",
                fix="choose convnet (pooling=none where images are one pixel high or wide), or larger images",
            )
        )


def _uniform(stream: Stream, shape: torch.Size, bound: float) -> Tensor:
    return torch.from_numpy(stream.uniform(tuple(shape), -bound, bound, dtype=np.float32))
