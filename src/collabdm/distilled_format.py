"""The bytes of a distilled set: one safetensors file, the same to the byte for the same set.

Two tensors, `images` (float32 [n, C, H, W]) and `labels` (int64 [n]), and one metadata entry, `collabdm`,
that holds everything else as canonical JSON: the order of several safetensors entries is not fixed, that of
one JSON text is. Nothing read here is trusted, and nothing is ever unpickled.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from collabdm.errors import DistilledSetError, explain

__all__ = ["VERSION", "Metadata", "canonical", "decode", "encode", "read"]

VERSION = 1

_KEY = "collabdm"
_TENSORS = {"images": ("F32", 4), "labels": ("I64", 1)}
_LONGEST_HEADER = 16 * 2**20
_LONGEST_FILE = 8 * 2**30
_REMADE = "make the set again, or copy it from its source again"


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


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII. Raises `ValueError` or `TypeError`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode(images: Tensor, labels: Tensor, metadata: Metadata) -> bytes:
    """The safetensors file; `decode` gives back the same tensors to the bit."""
    text = canonical(metadata.model_dump(mode="json"))
    return safetensors.torch.save({"images": images, "labels": labels}, {_KEY: text})


def read(path: Path) -> tuple[Tensor, Tensor, Metadata]:
    """Images, labels and metadata of a file that may come from anyone. Raises `DistilledSetError`."""
    try:
        size = path.stat().st_size
        if size > _LONGEST_FILE:
            raise _unreadable(f"{size} bytes", f"at most {_LONGEST_FILE} bytes", _REMADE)
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(
            error.strerror or "an error", "a readable safetensors file", "check the path and its permissions"
        ) from error
    return decode(content)


def decode(content: bytes) -> tuple[Tensor, Tensor, Metadata]:
    """Images, labels and metadata in a file's bytes, checked in form, not meaning. Raises
    `DistilledSetError`.
    """
    header = _header(content)
    metadata = _metadata(header.pop("__metadata__", None))
    forms = {
        name: (entry.get("dtype"), len(entry["shape"]) if isinstance(entry.get("shape"), list) else None)
        if isinstance(entry, dict)
        else None
        for name, entry in header.items()
    }
    if forms != _TENSORS:
        raise _unreadable(
            f"tensors (dtype, rank) {str(forms)[:200]}",
            f"exactly {_TENSORS}",
            "save it with DistilledSet.save",
        )
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError, TypeError, OverflowError, MemoryError, RuntimeError) as error:
        raise _unreadable(str(error)[:200], "a whole safetensors file", _REMADE) from error
    return tensors["images"], tensors["labels"], metadata


def _header(content: bytes) -> dict[str, Any]:
    """The JSON header, read before anything is allocated for the tensors."""
    wanted = "a safetensors file"
    if len(content) < 8:
        raise _unreadable(f"{len(content)} bytes", wanted, _REMADE)
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(_LONGEST_HEADER, len(content) - 8):
        raise _unreadable(f"a header of {length} bytes in a file of {len(content)}", wanted, _REMADE)
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"a header that is no JSON ({str(error)[:80]})", wanted, _REMADE) from error
    if not isinstance(header, dict):
        raise _unreadable("a header that is no JSON object", wanted, _REMADE)
    return header


def _metadata(found: object) -> Metadata:
    fix = "save it with DistilledSet.save"
    if not isinstance(found, Mapping) or set(found) != {_KEY} or not isinstance(found[_KEY], str):
        got = f"keys {sorted(map(str, found))[:5]}" if isinstance(found, Mapping) else "none"
        raise _unreadable(f"metadata with {got}", f"the one metadata key {_KEY!r}", fix)
    try:
        metadata = Metadata.model_validate_json(found[_KEY])
        # NaN and Infinity pass as free-form facts above, but are not JSON and could not be written again.
        canonical(metadata.facts)
    except ValidationError as error:
        first = next((e for e in error.errors() if e["loc"] == ("version",)), error.errors()[0])
        where = ".".join(map(str, first["loc"])) or "metadata"
        if where == "version":
            raise _unreadable(
                f"version {str(first['input'])[:40]}",
                f"version {VERSION}",
                "read it with the CollabDM that wrote it",
            ) from error
        raise _unreadable(f"{where[:80]} = {str(first['input'])[:80]!r}", first["msg"], fix) from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"facts with {str(error)[:80]}", "plain JSON with finite numbers", fix) from error
    return metadata


def _unreadable(got: str, expected: str, fix: str) -> DistilledSetError:
    return DistilledSetError(explain("distilled set", got=got, expected=expected, fix=fix))
