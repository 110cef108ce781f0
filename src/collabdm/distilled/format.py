"""The bytes of a distilled set: one safetensors file, the same to the byte for the same set.

Two tensors, the samples (float32 [n, *shape], called as their modality calls them: `images`) and `labels` (int64 [n]);
where the set has soft targets a third, `targets` (float32 [n, classes]); and one metadata entry, `collabdm`, that holds
everything else as canonical JSON. Nothing read here is trusted, and nothing is ever unpickled.

Version 1 says all there is to say of images without targets, and is written for these; anything else is version 2.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors.torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor

from collabdm.errors import DistilledSetError, explain, told
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.modalities import AnyModality
from collabdm.storage.reading import strict_json
from collabdm.storage.tensor_file import KEY, canonical, content_of, header_of, metadata_of, tensors_of

__all__ = ["VERSION", "Metadata", "Tensors", "decode", "encode", "read"]

VERSION = 2
_READ = "1 or 2"

Tensors = dict[str, Tensor]
"""`samples`, `labels`, and `targets` where there are any."""

# As many as a plan may have; a network has a row for each.
Classes = Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]

_LONGEST_FILE = 8 * 2**30
_SAVED = "save it with DistilledSet.save"


class Metadata(BaseModel):
    """All that a distilled set says besides its tensors; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal["collabdm-distilled-set"] = "collabdm-distilled-set"
    version: Literal[2] = VERSION
    classes: Classes
    sample: AnyModality
    tiles: int
    targets: bool = False
    augment: tuple[str, ...]
    method: str
    facts: dict[str, JsonValue]


class _FirstMetadata(BaseModel):
    """What version 1 says: the samples are images, whose shape is their tensor's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal["collabdm-distilled-set"] = "collabdm-distilled-set"
    version: Literal[1] = 1
    classes: Classes
    mean: tuple[float, ...]
    std: tuple[float, ...]
    factor: int
    augment: tuple[str, ...]
    method: str
    facts: dict[str, JsonValue]


def encode(tensors: Tensors, metadata: Metadata) -> bytes:
    """The safetensors file; `decode` gives back the same tensors to the bit."""
    sample = metadata.sample
    named = {sample.plural if name == "samples" else name: tensor for name, tensor in tensors.items()}
    written: BaseModel = metadata
    if isinstance(sample, Images) and not metadata.targets:
        same = metadata.model_dump(include={"classes", "augment", "method", "facts"})
        constants = sample.normalisation
        written = _FirstMetadata(mean=constants.mean, std=constants.std, factor=metadata.tiles, **same)
    return safetensors.torch.save(named, {KEY: canonical(written.model_dump(mode="json"))})


def read(path: Path) -> tuple[Tensors, Metadata]:
    """Tensors and metadata of a file that may come from anyone. Raises `DistilledSetError`."""
    return decode(content_of(path, longest=_LONGEST_FILE, refuse=_unreadable))


def decode(content: bytes) -> tuple[Tensors, Metadata]:
    """Tensors and metadata in a file's bytes, checked in form, not meaning. Raises `DistilledSetError`."""
    header = header_of(content, _unreadable)
    if _version(header) == 1:
        first = metadata_of(header, _FirstMetadata, version=_READ, fix=_SAVED, refuse=_unreadable)
        tensors = _checked(content, header, {"images": ("F32", 4), "labels": ("I64", 1)})
        return {"samples": tensors["images"], "labels": tensors["labels"]}, _second(first, tensors["images"])
    metadata = metadata_of(header, Metadata, version=_READ, fix=_SAVED, refuse=_unreadable)
    plural, rank = metadata.sample.plural, 1 + len(metadata.sample.shape)
    soft = {"targets": ("F32", 2)} if metadata.targets else {}
    tensors = _checked(content, header, {plural: ("F32", rank), "labels": ("I64", 1)} | soft)
    return {"samples": tensors.pop(plural), **tensors}, metadata


def _version(header: dict[str, Any]) -> object:
    """The version that the metadata say they are of, where they say any: it decides by which rules they are read."""
    try:
        version = strict_json(header["__metadata__"][KEY])["version"]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return version if type(version) is int else None


def _checked(content: bytes, header: dict[str, Any], expected: dict[str, tuple[str, int]]) -> Tensors:
    """The tensors, of which there are exactly those of these dtypes and ranks."""
    forms = {
        name: (entry.get("dtype"), len(entry["shape"]) if isinstance(entry.get("shape"), list) else None)
        if isinstance(entry, dict)
        else None
        for name, entry in header.items()
        if name != "__metadata__"
    }
    if forms != expected:
        raise _unreadable(f"tensors (dtype, rank) {str(forms)[:200]}", f"exactly {expected}", _SAVED)
    return tensors_of(content, _unreadable)


def _second(first: _FirstMetadata, images: Tensor) -> Metadata:
    """What version 1 says, as version 2 says it. Raises `DistilledSetError` where it contradicts the images."""
    channels, height, width = images.shape[1:]
    try:
        normalisation = Normalisation(mean=first.mean, std=first.std)
        size = {"channels": channels, "height": height, "width": width}
        sample = Images.model_validate(size | {"normalisation": normalisation})
        same = first.model_dump(include={"classes", "augment", "method", "facts"})
        return Metadata(sample=sample, tiles=first.factor, **same)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"])) or "mean and std"
        raise _unreadable(f"{where} = {str(wrong['input'])[:80]}", told(wrong)[:200], _SAVED) from error


def _unreadable(got: str, expected: str, fix: str) -> DistilledSetError:
    return DistilledSetError(explain("distilled set", got=got, expected=expected, fix=fix))
