"""Trained models as values: parameters by name, functions of them, and the bytes that a transport would carry."""

import copy
import dataclasses
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor, nn
from torch.func import functional_call

from collabdm.data import Samples
from collabdm.engine import Engine
from collabdm.engine.placing import channels_last
from collabdm.engine.workers import in_order
from collabdm.modality import Modality
from collabdm.networks import Architecture, BatchNorm, build_network
from collabdm.protocol.encoding import plain_floats
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.predicting import predictions
from collabdm.training.scores import Scores, scores

__all__ = ["Functional", "Model", "classifier", "decode_parameters", "encode_parameters", "is_running", "test_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A classifier: the weighted mean of the logits of its members, usually one, which share an architecture.

    A member's parameters, with running statistics among them, are float32 by name. Where there are `views`, the mean
    over all views of a sample under these operations counts (`Modality.views`).
    """

    spec: Architecture[Any]
    sample: Modality
    classes: tuple[str, ...]
    members: tuple[Mapping[str, Tensor], ...]
    weights: tuple[float, ...] = (1.0,)
    views: tuple[str, ...] = ()

    def predict(self, images: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Logits [n, classes] of samples as networks see them, [n, *shape]; convolutions compute in `dtype`."""
        logits = classifier(self.spec, self.sample.shape, len(self.classes), dtype)
        shown = self.sample.views(images, self.views)
        shares = [weight / sum(self.weights) / len(shown) for weight in self.weights]
        said = [s * logits(m, view) for view in shown for s, m in zip(shares, self.members, strict=True)]
        return torch.stack(said).sum(dim=0)

    def to_bytes(self) -> bytes:
        """A safetensors file: parameters as `<member>.<name>`, and `weights`."""
        named = {f"{i}.{name}": value.numpy() for i, one in enumerate(self.members) for name, value in one.items()}
        return save(named | {"weights": np.array(self.weights)})


def is_running(name: str) -> bool:
    """Whether a parameter's name is that of a batch norm's running statistic, which no gradient moves."""
    return name.endswith((".running_mean", ".running_var"))


class Functional:
    """A network as a function (parameters, input) for any number of threads.

    Convolutions and linear layers compute in `dtype`, all else in the parameters' own; results are of the input's
    dtype. Batch norms of a network in training write new running statistics into those they were given: pass copies.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        """`network` may be on the meta device; it is copied for each thread."""
        self._network, self._dtype, self._own = network, dtype, threading.local()
        self._converted = {
            f"{name}.{part}"
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear)
            for part in ("weight", "bias")
        }

    def __call__(self, parameters: Mapping[str, Tensor], given: Tensor) -> Tensor:
        """The network's output."""
        return self.watched(parameters, given)[0]

    def watched(self, parameters: Mapping[str, Tensor], given: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The output, and by the name of each `BatchNorm` what enters it, [n, C, H, W]."""
        if not hasattr(self._own, "network"):
            self._own.network, self._own.inputs = copy.deepcopy(self._network), {}
            for name, module in self._own.network.named_modules():
                if isinstance(module, BatchNorm):
                    module.register_forward_pre_hook(partial(_seen, self._own.inputs, name))
        placed = {n: v.to(self._dtype) if n in self._converted else v for n, v in parameters.items()}
        moved = given.to(self._dtype)
        if moved.dim() == 4:
            moved = channels_last(moved)
        try:
            output = functional_call(self._own.network, placed, (moved,)).to(given.dtype)
            return output, dict(self._own.inputs)
        finally:
            self._own.inputs.clear()


def _seen(inputs: dict[str, Tensor], name: str, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    inputs[name] = arguments[0]


@lru_cache(maxsize=16)
def classifier(
    spec: Architecture[Any], shape: tuple[int, ...], classes: int, dtype: torch.dtype, *, training: bool = False
) -> Functional:
    """(parameters, samples [n, *shape]) to logits [n, classes]; in `training` batch norms normalise by the batch."""
    return Functional(build_network(spec, shape, classes).train(training), dtype)


def test_model(model: Model, test: Samples, engine: Engine, checkpoint: Checkpoint | None = None) -> Scores:
    """How right the model is on all test samples; with a `checkpoint` an interrupted test goes on from it."""
    placed = tuple({name: value.to(engine.device) for name, value in one.items()} for one in model.members)
    there = dataclasses.replace(model, members=placed)

    def predicted(start: int) -> Tensor:
        values = test.values[start : start + engine.chunk]
        images = model.sample.tensors(values, device=engine.device, dtype=torch.float32)
        with torch.no_grad():
            return there.predict(images, dtype=engine.torch_dtype).argmax(dim=1).cpu()

    def predict(first: int, last: int) -> Tensor:
        return torch.cat(list(in_order(predicted, range(first, last, engine.chunk), engine.spread(own=True))))

    found = predictions(predict, len(test), chunk=engine.chunk, checkpoint=checkpoint)
    return scores(found, test.labels, len(test.classes))


def encode_parameters(parameters: Mapping[str, Tensor], held: Sequence[int] | np.ndarray, encoding: str) -> bytes:
    """What a client sends: its model in the plan's encoding of floats, and the samples it holds per class."""
    arrays = {name: plain_floats(value.numpy(), encoding) for name, value in parameters.items()}
    return save(arrays | {"held": np.asarray(held, np.int64)})


def decode_parameters(content: bytes) -> tuple[dict[str, Tensor], np.ndarray]:
    """The model, in float32, and the samples held per class."""
    arrays = load(content)
    held = arrays.pop("held")
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in sorted(arrays.items())}, held
