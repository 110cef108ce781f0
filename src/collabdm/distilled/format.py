"""The bytes of a distilled set: one safetensors file, the same to the byte for the same set.

Two tensors, `images` (float32 [n, C, H, W]) and `labels` (int64 [n]), and one metadata entry, `collabdm`,
that holds everything else as canonical JSON. Nothing read here is trusted, and nothing is ever unpickled.
"""

from pathlib import Path
from typing import Literal

import safetensors.torch
from pydantic import BaseModel, ConfigDict, JsonValue
from torch import Tensor

from collabdm.errors import DistilledSetError, explain
from collabdm.storage.tensor_file import KEY, canonical, content_of, header_of, metadata_of, tensors_of

__all__ = ["VERSION", "Metadata", "decode", "encode", "read"]

VERSION = 1

_TENSORS = {"images": ("F32", 4), "labels": ("I64", 1)}
_LONGEST_FILE = 8 * 2**30
_SAVED = "save it with DistilledSet.save"


class Metadata(BaseModel):
    """All that a distilled set says besides its tensors; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal["collabdm-distilled-set"] = "collabdm-distilled-set"
    version: Literal[1] = VERSION
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    factor: int
    augment: tuple[str, ...]
    method: str
    facts: dict[str, JsonValue]


def encode(images: Tensor, labels: Tensor, metadata: Metadata) -> bytes:
    """The safetensors file; `decode` gives back the same tensors to the bit."""
    text = canonical(metadata.model_dump(mode="json"))
    return safetensors.torch.save({"images": images, "labels": labels}, {KEY: text})


def read(path: Path) -> tuple[Tensor, Tensor, Metadata]:
    """Images, labels and metadata of a file that may come from anyone. Raises `DistilledSetError`."""
    return decode(content_of(path, longest=_LONGEST_FILE, refuse=_unreadable))


def decode(content: bytes) -> tuple[Tensor, Tensor, Metadata]:
    """Images, labels and metadata in a file's bytes, checked in form, not meaning. Raises
    `DistilledSetError`.
    """
    header = header_of(content, _unreadable)
    metadata = metadata_of(header, Metadata, version=VERSION, fix=_SAVED, refuse=_unreadable)
    forms = {
        name: (entry.get("dtype"), len(entry["shape"]) if isinstance(entry.get("shape"), list) else None)
        if isinstance(entry, dict)
        else None
        for name, entry in header.items()
        if name != "__metadata__"
    }
    if forms != _TENSORS:
        raise _unreadable(f"tensors (dtype, rank) {str(forms)[:200]}", f"exactly {_TENSORS}", _SAVED)
    tensors = tensors_of(content, _unreadable)
    return tensors["images"], tensors["labels"], metadata


def _unreadable(got: str, expected: str, fix: str) -> DistilledSetError:
    return DistilledSetError(explain("distilled set", got=got, expected=expected, fix=fix))
