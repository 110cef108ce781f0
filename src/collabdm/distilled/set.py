"""The product: a small labelled set that trains a network, and how to keep it and hand it on."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch
from pydantic import JsonValue, ValidationError
from torch import Tensor

from collabdm.distilled.card import write_card
from collabdm.distilled.folder import FILE, refuse_existing, written_whole
from collabdm.distilled.format import Metadata, Tensors, encode, read
from collabdm.distilled.shown import as_html, in_a_line
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, DistilledSetError, explain, got_in, told
from collabdm.modality import Labelled, Modality
from collabdm.storage.files import write_atomically
from collabdm.storage.tensor_file import canonical

if TYPE_CHECKING:
    import datasets

__all__ = ["DistilledSet", "load"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DistilledSet(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Distilled samples with their labels, and all that is needed to train on them as intended.

    A map-style torch dataset: item i is (float32 [*shape] sample as networks see it, label), of the samples as stored;
    train on `.expanded()`. Raises `DistilledSetError` when the fields contradict each other.
    """

    samples: Tensor
    """float32 [n, *shape]; images are [n, C, H, W], C 1 or 3, normalised: (pixel - mean) / std, black 0 and white 1."""
    labels: Tensor
    """int64 [n], 0..len(classes) - 1."""
    classes: tuple[str, ...]
    sample: Modality
    """What a sample is: for images their size and the constants of their normalisation."""
    tiles: int = 1
    """The l of partition and expand (l x l tiles a sample); 1 means that a stored sample is one training sample."""
    augment: tuple[str, ...]
    """The augmentation operations used in matching; a classifier is trained with the same."""
    method: str
    facts: Mapping[str, JsonValue]
    """How the set was made: data set, plan digest, clients, `init` ("real" or "noise"), versions..."""
    targets: Tensor | None = None
    """float32 [n, classes], rows that sum to one: what a classifier learns instead of the labels, if there are any."""

    @plain_torch()
    def __post_init__(self) -> None:
        """Check every field; tensors are kept detached, contiguous and on the CPU."""
        _check_types(self)
        settled = {
            "samples": _settled(self.samples),
            "labels": _settled(self.labels),
            "targets": None if self.targets is None else _settled(self.targets),
            "facts": _plain_json(self.facts),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        _check_tensors(self.samples, self.labels, self.sample)
        _check_meaning(self)
        _check_targets(self)

    def __repr__(self) -> str:
        return in_a_line(self.sample, self._shown(), self.tiles, self.method)

    @plain_torch()
    def _repr_html_(self) -> str:
        return as_html(repr(self), self.sample, self.expanded()._shown())

    def __len__(self) -> int:
        """The number of stored samples."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Sample float32 [*shape], as networks see it, and its label."""
        return self.samples[index], int(self.labels[index])

    @plain_torch()
    def counts(self) -> Tensor:
        """The number of stored samples of each class, int64 [classes]."""
        return torch.bincount(self.labels, minlength=len(self.classes))

    @plain_torch()
    def expanded(self) -> "DistilledSet":
        """The training samples: `tiles**2` times as many (paper, section 4.3); each has its sample's target."""
        return replace(
            self,
            samples=self.sample.expand(self.samples, self.tiles),
            labels=self.labels.repeat_interleave(self.tiles**2),
            targets=None if self.targets is None else self.targets.repeat_interleave(self.tiles**2, dim=0),
            tiles=1,
        )

    @plain_torch()
    def exported(self) -> "DistilledSet":
        """The training samples as whoever reads an export of the set gets them: images rounded to 8 bits within the
        range that the files state."""
        full = self.expanded()
        return replace(full, samples=full.sample.exported(full.samples))

    @plain_torch()
    def pictures(self) -> np.ndarray | None:
        """Stored samples as small pictures for people, uint8 [n, 1 or 3, H, W]; None where such are not drawn."""
        return self.sample.pictures(self.samples)

    @plain_torch()
    def to_huggingface(self) -> "datasets.Dataset":
        """The training samples as a Hugging Face dataset: for images `image` (8-bit PNG files that state their range)
        and `label` with the class names; `targets` (lists of floats) too where the set has them."""
        full = self.expanded()
        dataset = full.sample.to_huggingface(full._shown())
        return dataset if full.targets is None else dataset.add_column("targets", full.targets.tolist())  # pyright: ignore

    @plain_torch()
    def to_arrays(self) -> dict[str, np.ndarray]:
        """The training samples as an `.npz` export holds them: `x`, `y` int64 [n], `classes`, `targets` where the set
        has them; images are uint8, with their `range`."""
        full = self.expanded()
        arrays = full.sample.to_arrays(full.samples) | {"y": full.labels.numpy(), "classes": np.array(full.classes)}
        return arrays if full.targets is None else arrays | {"targets": full.targets.numpy()}

    @plain_torch()
    def to_folder(self, path: str | os.PathLike[str]) -> None:
        """Write the training samples as files; images as `path/<class>/<index>.png`, 8 bits in the range that each file
        states, for `load_dataset("imagefolder", ...)`.

        Folders are named after the classes, with the label in front ("03-cat") where the names alone would
        not sort into the order of the labels. Raises `DistilledSetError` if `path` exists and is not an empty
        folder, or where such samples have no files.
        """
        target = Path(path)
        refuse_existing(target, overwrite=False)
        with written_whole(target) as building:
            if not self.sample.write_folder(building, self.expanded()._shown()):
                got, fix = f"{self.sample.plural}, which have none", "export npz or huggingface"
                raise DistilledSetError(explain("folder of files", got=got, expected="images or rows", fix=fix))

    @plain_torch()
    def to_file(self, format: str) -> bytes:
        """The training samples as one file, `csv` or `parquet`. Raises `DistilledSetError` where they have none."""
        content = self.sample.to_file(format, self.expanded()._shown())
        if content is None:
            got = f"{self.sample.plural}, which have none"
            fix = "export npz or huggingface, or folder for the files that such samples have"
            raise DistilledSetError(explain(f"file of {format}", got=got, expected="rows of a table", fix=fix))
        return content

    @plain_torch()
    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the folder: `distilled.safetensors` (exact), `README.md`, and for images `preview.png` and `images/`.

        The folder appears as a whole or not at all. Raises `DistilledSetError` if `path` exists, unless
        `overwrite` is given and it holds a distilled set.
        """
        target = Path(path)
        refuse_existing(target, overwrite=overwrite)
        shown, sample = self._shown(), self.sample
        with written_whole(target) as building:
            content = self.to_bytes()
            write_atomically(building / FILE, content)
            digest = hashlib.sha256(content).hexdigest()
            card = write_card(self._metadata(), sample.card(shown, self.tiles), len(self), digest)
            write_atomically(building / "README.md", card.encode())
            full = self.expanded()._shown()
            preview = sample.preview(full)
            if preview is not None:
                write_atomically(building / "preview.png", preview)
            sample.write_folder(building / sample.plural, full)

    @plain_torch()
    def to_bytes(self) -> bytes:
        """The canonical safetensors file, the same bytes for the same set."""
        tensors: Tensors = {"samples": self.samples, "labels": self.labels}
        return encode(tensors if self.targets is None else tensors | {"targets": self.targets}, self._metadata())

    def _shown(self) -> Labelled:
        return Labelled(samples=self.samples, labels=self.labels, classes=self.classes)

    def _metadata(self) -> Metadata:
        return Metadata(
            classes=self.classes,
            sample=self.sample,
            tiles=self.tiles,
            targets=self.targets is not None,
            augment=self.augment,
            method=self.method,
            facts=dict(self.facts),
        )


@plain_torch()
def load(path: str | os.PathLike[str]) -> DistilledSet:
    """The distilled set in a folder that `save` wrote, or in its `distilled.safetensors` alone.

    The file may come from anyone: everything in it is checked and nothing is executed. Raises
    `DistilledSetError`.
    """
    source = Path(path)
    inside = source / "distilled"
    if not (source / FILE).exists() and (inside / FILE).is_file():
        got, fix = f"{source}, the folder of a run", f"load {inside}"
        raise DistilledSetError(explain("distilled set", got=got, expected=f"a folder with {FILE}", fix=fix))
    if source.is_dir() and not (source / FILE).exists():
        got, fix = f"a folder without {FILE}", "pass the folder of a set, or of a finished run with one"
        raise DistilledSetError(explain(f"distilled set {source}", got=got, expected=f"a folder with {FILE}", fix=fix))
    try:
        tensors, metadata = read(source / FILE if source.is_dir() else source)
        fields = {
            name: getattr(metadata, name) for name in ("classes", "sample", "tiles", "augment", "method", "facts")
        }
        return DistilledSet(**tensors, **fields)
    except DistilledSetError as error:
        raise DistilledSetError(f"{source}: {error}") from error


def _settled(tensor: Tensor) -> Tensor:
    kept = tensor.detach().cpu().contiguous()
    # What was made in inference mode can never be trained on.
    return kept.clone() if kept.is_inference() else kept


def _check_types(given: DistilledSet) -> None:
    """What must hold before anything can be asked of a field."""
    for name in ("samples", "labels", "targets"):
        value = getattr(given, name)
        if not isinstance(value, Tensor) and not (name == "targets" and value is None):
            _refuse(name, f"a {type(value).__name__}", "a torch tensor")
        if isinstance(value, Tensor) and value.is_meta:
            _refuse(name, "a tensor on the device meta, which has no values", "a tensor with values")
    if not isinstance(given.sample, Modality):
        _refuse("sample", f"a {type(given.sample).__name__}", "what a sample is, as plan.sample")
    if not isinstance(given.tiles, int) or isinstance(given.tiles, bool):
        _refuse("tiles", f"{given.tiles!r}"[:80], "an integer")
    if not isinstance(given.classes, tuple) or not all(isinstance(name, str) for name in given.classes):
        _refuse("class names", f"{given.classes!r}"[:200], "a tuple of text")


def _check_tensors(samples: Tensor, labels: Tensor, sample: Modality) -> None:
    shape, plural = tuple(samples.shape), sample.plural
    if samples.dtype != torch.float32 or shape[1:] != tuple(sample.shape) or 0 in shape:
        expected = f"float32 [n, {', '.join(map(str, sample.shape))}], n at least 1"
        _refuse(plural, f"{samples.dtype} {list(shape)}", expected)
    if labels.dtype != torch.int64 or tuple(labels.shape) != shape[:1]:
        _refuse("labels", f"{labels.dtype} {list(labels.shape)}", f"int64 [{shape[0]}], a label for each sample")
    if not bool(torch.isfinite(samples).all()):
        _refuse(plural, f"{int((~torch.isfinite(samples)).sum())} NaN or infinite values", "finite values")


def _check_meaning(given: DistilledSet) -> None:
    least, most = int(given.labels.min()), int(given.labels.max())
    if least < 0 or most >= len(given.classes):
        _refuse("labels", f"{least} to {most}", f"0 to {len(given.classes) - 1}, as there are class names")
    if len(set(given.classes)) != len(given.classes) or not all(name.strip() for name in given.classes):
        _refuse("class names", f"{str(given.classes)[:200]}", "distinct names, none empty")
    try:
        given.sample.check_tiles(given.tiles)
    except ConfigError as error:
        raise DistilledSetError(str(error)) from error
    try:
        given._metadata()
    except ValidationError as error:
        first = error.errors()[0]
        _refuse(".".join(map(str, first["loc"])), got_in(first), told(first))
    known = given.sample.operations
    unknown = [name for name in given.augment if name not in known]
    if unknown:
        _refuse(
            "augment", ", ".join(unknown)[:200], f"operations of {given.sample.plural}: {', '.join(known) or 'none'}"
        )


def _check_targets(given: DistilledSet) -> None:
    targets, shape = given.targets, (len(given.labels), len(given.classes))
    if targets is None:
        return
    if targets.dtype != torch.float32 or tuple(targets.shape) != shape:
        _refuse("targets", f"{targets.dtype} {list(targets.shape)}", f"float32 {list(shape)}, a row for each sample")
    if not bool((torch.isfinite(targets) & (targets >= 0)).all()):
        _refuse("targets", "negative, NaN or infinite values", "probabilities")
    furthest = float((targets.double().sum(dim=1) - 1).abs().max())
    if furthest > _MOST_FROM_ONE:
        _refuse("targets", f"a row that sums to 1 but for {furthest:.2g}", "rows that sum to one")


# Float32 probabilities of 10,000 classes sum to one within it.
_MOST_FROM_ONE = 1e-3


def _plain_json(facts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    # Through text, so that a saved and loaded set has the facts it had before (tuples have become lists).
    try:
        return json.loads(canonical(dict(facts)))
    except (ValueError, TypeError, RecursionError) as error:
        _refuse("facts", str(error)[:80], "a mapping of plain JSON values with finite numbers")


def _refuse(what: str, got: object, expected: str) -> NoReturn:
    raise DistilledSetError(explain(f"distilled set's {what}", got=got, expected=expected, fix="correct that field"))
