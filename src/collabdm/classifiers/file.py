"""A trained classifier, kept as one safetensors file: its parameters, and all that is needed to ask it.

The same classifier gives the same bytes. A file may come from anyone: everything in it is checked against the network
that it says it is, and nothing is ever unpickled.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import numpy as np
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor

from collabdm.engine import EAGER, Engine
from collabdm.errors import ClassifierError, ConfigError, DataError, explain, got_in, told
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.modalities import AnyModality
from collabdm.modality import Modality
from collabdm.networks import NetworkSpec, build_network
from collabdm.storage.files import write_atomically
from collabdm.storage.tensor_file import KEY, canonical, content_of, header_of, metadata_of, tensors_of
from collabdm.training.testing import Voter, added_logits

__all__ = ["BESIDE", "Classifier", "ClassifierCard", "decode_classifier", "load_classifier"]

VERSION = 1

_LONGEST_FILE = 2 * 2**30
_LARGEST_VALUE = 1e6
_TRAINED = "train it again with collabdm train"
BESIDE = "beside."
"""What the names of the second network's parameters begin with."""

Side = Annotated[int, Field(ge=1, le=4096)]


class ClassifierCard(BaseModel):
    """All that a classifier says besides its parameters; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal["collabdm-classifier"] = "collabdm-classifier"
    version: Literal[1] = VERSION
    network: NetworkSpec
    beside: NetworkSpec | None = None
    """A second network, if there is one: its logits are added to those of the first, and the names of its parameters
    begin with `beside.`."""
    views: tuple[str, ...] | None = None
    """Operations, if any, under all of whose views of a sample it is asked (`Modality.views`): the mean of the logits
    counts."""
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
    shape: tuple[Literal[1, 3], Side, Side] | None = None
    """(C, H, W) of every image."""
    normalisation: Normalisation | None = None
    samples: AnyModality | None = None
    """What a sample is, where it is no image: those are described by the two before."""
    flows: dict[str, JsonValue] | None = None
    """The settings under which its images or rows were made of network flows, if they were."""
    facts: dict[str, JsonValue] = {}
    """How it was trained: the distilled set's digest and facts, recipe, seed, engine."""

    @property
    def sample(self) -> Modality:
        """What a sample is."""
        if self.shape is None or self.normalisation is None:
            assert self.samples is not None
            return self.samples
        channels, height, width = self.shape
        return Images(channels=channels, height=height, width=width, normalisation=self.normalisation)


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """Parameters, float32 by name, and what they are. Raises `ClassifierError` where the two contradict each other."""

    card: ClassifierCard
    parameters: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        """Check every parameter; they are kept detached, contiguous and on the CPU."""
        settled = {name: value.detach().float().cpu().contiguous() for name, value in self.parameters.items()}
        object.__setattr__(self, "parameters", settled)
        _check_meaning(self.card)
        _check_forms({name: ("F32", list(value.shape)) for name, value in settled.items()}, self.card)
        for name, value in settled.items():
            if not bool(torch.isfinite(value).all()) or float(value.abs().max()) > _LARGEST_VALUE:
                _refuse(f"parameter {name}", "NaN, infinite or huge values", f"numbers up to {_LARGEST_VALUE:.0e}")

    @property
    def voters(self) -> tuple[Voter, ...]:
        """Its network, and the one beside it, if any."""
        second = {k.removeprefix(BESIDE): value for k, value in self.parameters.items() if k.startswith(BESIDE)}
        first = {k: value for k, value in self.parameters.items() if not k.startswith(BESIDE)}
        views = self.card.views or ()
        own = Voter(network=self.card.network, parameters=first, views=views)
        if self.card.beside is None:
            return (own,)
        return own, Voter(network=self.card.beside, parameters=second, views=views)

    def probabilities(self, values: np.ndarray, engine: Engine = EAGER) -> np.ndarray:
        """Of stored samples [n, ...] (images: uint8, or float32 in [0, 1], [n, C, H, W]), each class's probability:
        float64 [n, classes].

        Raises `ClassifierError` for samples of another shape.
        """
        sample = self.card.sample
        try:
            sample.check(values.shape[1:])
        except DataError:
            got, expected = list(values.shape[1:]), f"{list(sample.shape)}, as it was trained on"
            fix = f"make the {sample.plural} as for training"
            raise ClassifierError(explain(sample.plural, got=got, expected=expected, fix=fix)) from None
        found = added_logits(self.voters, values, classes=len(self.card.classes), sample=sample, engine=engine)
        return torch.softmax(found.double(), dim=1).numpy()

    def to_bytes(self) -> bytes:
        """The safetensors file, the same bytes for the same classifier."""
        text = canonical(self.card.model_dump(mode="json", exclude_none=True))
        return safetensors.torch.save(dict(self.parameters), {KEY: text})

    def digest(self) -> str:
        """SHA-256 of `to_bytes`, in hex: which classifier this is."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, as a whole or not at all."""
        write_atomically(Path(path), self.to_bytes())


def load_classifier(path: str | os.PathLike[str]) -> Classifier:
    """The classifier in a file that may come from anyone. Raises `ClassifierError`."""
    try:
        return decode_classifier(content_of(Path(path), longest=_LONGEST_FILE, refuse=_unreadable))
    except ClassifierError as error:
        raise ClassifierError(f"{path}: {error}") from error


def decode_classifier(content: bytes) -> Classifier:
    """The classifier in a file's bytes; its tensors are compared with its network before they are read.

    Raises `ClassifierError`.
    """
    header = header_of(content, _unreadable)
    card = metadata_of(header, ClassifierCard, version=VERSION, fix=_TRAINED, refuse=_unreadable)
    _check_meaning(card)
    entries = {name: entry if isinstance(entry, dict) else {} for name, entry in header.items()}
    forms = {name: (e.get("dtype"), e.get("shape")) for name, e in entries.items() if name != "__metadata__"}
    _check_forms(forms, card)
    return Classifier(card=card, parameters=tensors_of(content, _unreadable))


def _check_meaning(card: ClassifierCard) -> None:
    if len(set(card.classes)) != len(card.classes) or not all(name.strip() for name in card.classes):
        _refuse("class names", str(card.classes)[:200], "distinct names, none empty")
    described = (card.shape is not None, card.normalisation is not None, card.samples is not None)
    if described not in ((True, True, False), (False, False, True)) or isinstance(card.samples, Images):
        named = [name for name, there in zip(("shape", "normalisation", "samples"), described, strict=True) if there]
        expected = "a shape and a normalisation (of images), or samples (of rows and series)"
        _refuse("samples", ", ".join(named) or "none", expected)
    if card.shape and card.normalisation and len(card.normalisation.mean) != card.shape[0]:
        _refuse("normalisation", f"{len(card.normalisation.mean)} channels", f"{card.shape[0]}, as its images have")
    try:
        _ = card.sample
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "samples"
        _refuse(where, got_in(first, str), told(first)[:200])
    known = card.sample.symmetries
    if card.views is not None and (not card.views or card.sample.viewed(card.views) != card.views):
        _refuse("views", ", ".join(card.views)[:200] or "an empty list", f"some of {', '.join(known) or 'none'}, once")


def _check_forms(forms: Mapping[str, tuple[object, object]], card: ClassifierCard) -> None:
    """Compare (dtype, shape) by name with the network's own parameters, without making any."""
    wanted: dict[str, tuple[str, list[int]]] = {}
    for start, spec in (("", card.network), (BESIDE, card.beside)):
        if spec is None:
            continue
        try:
            network = build_network(spec, card.sample.shape, len(card.classes))
        except (ConfigError, ValidationError) as error:
            raise ClassifierError(f"classifier: {error}") from error
        wanted |= {start + name: ("F32", list(value.shape)) for name, value in network.named_parameters()}
    held = card.network.name if card.beside is None else f"{card.network.name} with {card.beside.name} beside it"
    for name in sorted(set(forms) | set(wanted)):
        if forms.get(name) != wanted.get(name):
            got, expected = (str(found.get(name, "no such tensor"))[:100] for found in (forms, wanted))
            _refuse(f"parameter {name[:80]}", got, f"{expected} in {held}")


def _refuse(what: str, got: object, expected: str) -> NoReturn:
    raise ClassifierError(explain(f"classifier's {what}", got=got, expected=expected, fix=_TRAINED))


def _unreadable(got: str, expected: str, fix: str) -> ClassifierError:
    return ClassifierError(explain("classifier", got=got, expected=expected, fix=fix))
