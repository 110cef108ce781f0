"""A teacher that labels what a network is shown, as it is shown: augmented and mixed."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.engine import Engine
from collabdm.errors import ConfigError, explain
from collabdm.matching.embedding import embedder_for
from collabdm.networks import NetworkSpec, build_network

__all__ = ["TeacherLabels"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherLabels:
    """A network with `parameters` by name, whose softmax makes up `share` of every target, and the label the rest.

    The recipe sets the share.
    """

    network: NetworkSpec
    parameters: Mapping[str, Tensor]
    share: float = 0.0

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Raise `ConfigError` where it is no network for samples of `shape`, or of another number of classes."""
        own = build_network(self.network, shape, classes).named_parameters()
        wanted = {name: list(value.shape) for name, value in own}
        given = {name: list(value.shape) for name, value in self.parameters.items()}
        for name in sorted(set(wanted) | set(given)):
            if wanted.get(name) != given.get(name):
                got, expected = (f"{name} {found.get(name, 'missing')}" for found in (given, wanted))
                fix = "take the teacher that the round of this very set left beside it"
                raise ConfigError(explain("teacher of the set", got=got, expected=expected, fix=fix))

    def placed(self, shape: tuple[int, ...], engine: Engine) -> "TeacherLabels":
        """The same with parameters as the engine's embedder of samples of `shape` takes them; the last layer is in the
        dtype of samples."""
        last = {
            name: value.to(engine.device, engine.sample_dtype)
            for name, value in self.parameters.items()
            if name.startswith("classifier.")
        }
        body = {name: value for name, value in self.parameters.items() if name not in last}
        return dataclasses.replace(self, parameters=last | embedder_for(self.network, shape, engine).placed(body))

    def digest(self) -> bytes:
        """SHA-256 over all of it."""
        digest = hashlib.sha256(f"{self.network.model_dump_json()} {self.share!r}".encode())
        for name, value in sorted(self.parameters.items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(np.ascontiguousarray(value.cpu().float().numpy()).data)
        return digest.digest()

    def targets(self, shown: Tensor, wanted: Tensor, engine: Engine) -> Tensor:
        """For samples as they are shown [n, *shape] with targets [n, classes]: the targets to learn. After `placed`."""
        embedder = embedder_for(self.network, tuple(shown.shape[1:]), engine)
        features = embedder.embed(dict(self.parameters), shown)
        with torch.no_grad():
            said = functional.linear(features, self.parameters["classifier.weight"], self.parameters["classifier.bias"])
            return self.share * said.softmax(dim=1) + (1 - self.share) * wanted
