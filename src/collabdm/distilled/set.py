"""The product: a small labelled set of images that trains a network, and how to keep it and hand it on."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch
from pydantic import JsonValue, ValidationError
from torch import Tensor

from collabdm.distilled.card import write_card
from collabdm.distilled.format import Metadata, encode, read
from collabdm.errors import ConfigError, DistilledSetError, explain
from collabdm.images.image_folder import class_folders, image_of, write_images
from collabdm.images.partition_expand import check_factor, expand
from collabdm.images.preview import preview_picture
from collabdm.storage.files import write_atomically
from collabdm.storage.tensor_file import canonical

if TYPE_CHECKING:
    import datasets

__all__ = ["DistilledSet", "load"]

_FILE = "distilled.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class DistilledSet(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Distilled images with their labels, and all that is needed to train on them as intended.

    A map-style torch dataset: item i is (float32 [C, H, W] normalised image, label), of the images as stored;
    train on `.expanded()`. Raises `DistilledSetError` when the fields contradict each other.
    """

    images: Tensor
    """float32 [n, C, H, W], C 1 or 3, normalised: (pixel / 255 - mean) / std."""
    labels: Tensor
    """int64 [n], 0..len(classes) - 1."""
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Per channel, of pixels in [0, 1]."""
    std: tuple[float, ...]
    factor: int
    """Partition-and-expand factor; 1 means that an image is one sample."""
    augment: tuple[str, ...]
    """The augmentation operations used in matching; a classifier is trained with the same."""
    method: str
    facts: Mapping[str, JsonValue]
    """How the set was made: data set, plan digest, clients, `init` ("real" or "noise"), versions..."""

    def __post_init__(self) -> None:
        """Check every field; tensors are kept detached, contiguous and on the CPU."""
        settled = {
            "images": self.images.detach().cpu().contiguous(),
            "labels": self.labels.detach().cpu().contiguous(),
            "mean": tuple(float(value) for value in self.mean),
            "std": tuple(float(value) for value in self.std),
            "facts": _plain_json(self.facts),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        _check_tensors(self.images, self.labels)
        _check_meaning(self)

    def __len__(self) -> int:
        """The number of stored images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image float32 [C, H, W], normalised, and its label."""
        return self.images[index], int(self.labels[index])

    def counts(self) -> Tensor:
        """The number of stored images of each class, int64 [classes]."""
        return torch.bincount(self.labels, minlength=len(self.classes))

    def expanded(self) -> "DistilledSet":
        """The training samples: `factor**2` times as many images, with factor 1 (paper, section 4.3)."""
        return replace(
            self,
            images=expand(self.images, self.factor),
            labels=self.labels.repeat_interleave(self.factor**2),
            factor=1,
        )

    def pixels(self) -> Tensor:
        """Images in pixel space, float32 [n, C, H, W]: about [0, 1], not clipped."""
        return self.images * _per_channel(self.std) + _per_channel(self.mean)

    def eight_bit(self) -> Tensor:
        """Images as 8-bit pixels, clipped and rounded, uint8 [n, C, H, W]."""
        return self.pixels().clamp(0, 1).mul(255).round().to(torch.uint8)

    def to_huggingface(self) -> "datasets.Dataset":
        """A Hugging Face dataset with columns `image` (8-bit, clipped) and `label` (with the class names)."""
        import datasets  # here, since it takes a second to import and only this needs it

        features = datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(self.classes))}
        )
        images = [image_of(image) for image in self.eight_bit().numpy()]
        return datasets.Dataset.from_dict({"image": images, "label": self.labels.tolist()}, features=features)

    def to_folder(self, path: str | os.PathLike[str]) -> None:
        """Write `path/<class>/<index>.png`, which `load_dataset("imagefolder", data_dir=path)` reads.

        Folders are named after the classes, with the label in front ("03-cat") where the names alone would
        not sort into the order of the labels. Raises `DistilledSetError` if `path` exists and is not an empty
        folder.
        """
        target = Path(path)
        _refuse_existing(target, overwrite=False)
        with _written_whole(target) as building:
            self._write_images(building)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the folder: `distilled.safetensors` (exact), `README.md`, `preview.png` and `images/`.

        The folder appears as a whole or not at all. Raises `DistilledSetError` if `path` exists, unless
        `overwrite` is given and it holds a distilled set.
        """
        target = Path(path)
        _refuse_existing(target, overwrite=overwrite)
        metadata, counts = self._metadata(), self.counts().tolist()
        pixels, labels = self.eight_bit().numpy(), self.labels.numpy()
        channels, height, width = self.images.shape[1:]
        folders = class_folders(self.classes, counts)
        with _written_whole(target) as building:
            write_atomically(building / _FILE, self.to_bytes())
            card = write_card(metadata, counts, (channels, height, width), folders)
            write_atomically(building / "README.md", card.encode())
            write_atomically(building / "preview.png", preview_picture(pixels, labels, self.classes))
            self._write_images(building / "images")

    def to_bytes(self) -> bytes:
        """The canonical safetensors file, the same bytes for the same set."""
        return encode(self.images, self.labels, self._metadata())

    def _write_images(self, path: Path) -> None:
        write_images(path, self.eight_bit().numpy(), self.labels.numpy(), self.classes)

    def _metadata(self) -> Metadata:
        return Metadata(
            classes=self.classes,
            mean=self.mean,
            std=self.std,
            factor=self.factor,
            augment=self.augment,
            method=self.method,
            facts=dict(self.facts),
        )


def load(path: str | os.PathLike[str]) -> DistilledSet:
    """The distilled set in a folder that `save` wrote, or in its `distilled.safetensors` alone.

    The file may come from anyone: everything in it is checked and nothing is executed. Raises
    `DistilledSetError`.
    """
    source = Path(path)
    try:
        images, labels, metadata = read(source / _FILE if source.is_dir() else source)
        fields = metadata.model_dump(mode="python", exclude={"format", "version"})
        return DistilledSet(images=images, labels=labels, **fields)
    except DistilledSetError as error:
        raise DistilledSetError(f"{source}: {error}") from error


def _check_tensors(images: Tensor, labels: Tensor) -> None:
    shape = tuple(images.shape)
    if images.dtype != torch.float32 or len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
        _refuse("images", f"{images.dtype} {list(shape)}", "float32 [n, 1 or 3, H, W], n, H and W at least 1")
    if labels.dtype != torch.int64 or tuple(labels.shape) != shape[:1]:
        _refuse("labels", f"{labels.dtype} {list(labels.shape)}", f"int64 [{shape[0]}], a label for each image")
    if not bool(torch.isfinite(images).all()):
        _refuse("images", f"{int((~torch.isfinite(images)).sum())} NaN or infinite values", "finite values")


def _check_meaning(given: DistilledSet) -> None:
    channels, height, width = given.images.shape[1:]
    least, most = int(given.labels.min()), int(given.labels.max())
    if least < 0 or most >= len(given.classes):
        _refuse("labels", f"{least} to {most}", f"0 to {len(given.classes) - 1}, as there are class names")
    if len(set(given.classes)) != len(given.classes) or not all(name.strip() for name in given.classes):
        _refuse("class names", f"{str(given.classes)[:200]}", "distinct names, none empty")
    for name, values in (("mean", given.mean), ("std", given.std)):
        finite = all(abs(value) < float("inf") for value in values)
        if len(values) != channels or not finite or (name == "std" and min(values) <= 0):
            positive = "positive, " if name == "std" else ""
            _refuse(name, values, f"{channels} {positive}finite numbers, one for each channel")
    try:
        check_factor(given.factor, height, width)
    except ConfigError as error:
        raise DistilledSetError(str(error)) from error
    try:
        given._metadata()
    except ValidationError as error:
        first = error.errors()[0]
        _refuse(".".join(map(str, first["loc"])), repr(first["input"])[:80], first["msg"])


def _plain_json(facts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    # Through text, so that a saved and loaded set has the facts it had before (tuples have become lists).
    try:
        return json.loads(canonical(dict(facts)))
    except (ValueError, TypeError, RecursionError) as error:
        _refuse("facts", str(error)[:80], "a mapping of plain JSON values with finite numbers")


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)


def _refuse(what: str, got: object, expected: str) -> NoReturn:
    raise DistilledSetError(explain(f"distilled set's {what}", got=got, expected=expected, fix="correct that field"))


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if overwrite and (target / _FILE).is_file():
        return
    raise DistilledSetError(
        explain(
            "folder to write",
            got=f"{target}, which exists" + (" and holds no distilled set" if overwrite else ""),
            expected="a new or empty folder" + (", or a distilled set to replace" if overwrite else ""),
            fix="choose another path" + ("" if overwrite else " or allow overwriting"),
        )
    )


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A folder to build in, beside `target`, that takes its place at the end; an error changes nothing."""
    tag = secrets.token_hex(4)
    building, aside = (
        target.with_name(f".{target.name}.{tag}.part"),
        target.with_name(f".{target.name}.{tag}.old"),
    )
    try:
        building.mkdir(parents=True)
        yield building
        if target.exists():
            os.rename(target, aside)
        try:
            os.rename(building, target)
        except OSError:
            if aside.exists():
                os.rename(aside, target)
            raise
    except OSError as error:
        raise DistilledSetError(
            explain(
                f"folder {target}",
                got=error.strerror or "an error",
                expected="a place to write to",
                fix="check the path, its permissions and the free space",
            )
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
