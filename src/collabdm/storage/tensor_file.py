"""A safetensors file that may come from anyone: its size, its header and its one metadata entry, read with suspicion.

Everything besides the tensors is canonical JSON under one key: the order of several safetensors entries is not
fixed, that of one JSON text is. Whoever reads a kind of file says in which words it is refused.
"""

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from collabdm.errors import CollabDMError, as_json, got_in, told
from collabdm.storage.reading import no_number, opened_regular, strict_json

__all__ = ["KEY", "Refuse", "canonical", "content_of", "header_of", "metadata_of", "tensors_of"]

KEY = "collabdm"

Refuse = Callable[[str, str, str], CollabDMError]
"""(got, expected, fix) to the error to raise."""

_LONGEST_HEADER = 16 * 2**20
_WHOLE = "a whole safetensors file"
_REMADE = "make it again, or copy it from its source again"

Model = TypeVar("Model", bound=BaseModel)


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII. Raises `ValueError` or `TypeError`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_of(path: Path, *, longest: int, refuse: Refuse) -> bytes:
    """The bytes of a file of at most `longest` bytes."""
    try:
        with opened_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > longest:
                raise refuse(f"{size} bytes", f"at most {longest} bytes", _REMADE)
            # Gigabytes of something else are not read for their first eight bytes.
            start = file.read(8)
            _length(start, size, refuse)
            return start + file.read(size - 8)
    except OSError as error:
        got = error.strerror or "an error"
        raise refuse(got, "a readable safetensors file", "check the path and its permissions") from error


def header_of(content: bytes, refuse: Refuse) -> dict[str, Any]:
    """The JSON header, read before anything is allocated for the tensors."""
    length = _length(content[:8], len(content), refuse)
    try:
        header = strict_json(content[8 : 8 + length])
    except ValueError as error:
        raise refuse(f"a header that is {str(error)[:120]}", _WHOLE, _REMADE) from error
    if not isinstance(header, dict):
        raise refuse("a header that is no JSON object", _WHOLE, _REMADE)
    return header


def _length(start: bytes, size: int, refuse: Refuse) -> int:
    """Bytes of the header of a file of `size` bytes that begins with `start`."""
    if size < 8:
        raise refuse(f"{size} bytes", _WHOLE, _REMADE)
    (length,) = struct.unpack("<Q", start)
    if length > _LONGEST_HEADER:
        # The first bytes of a text or of any other format, read as a number.
        raise refuse("another kind of file", _WHOLE, "check the path: collabdm info PATH says what a file is")
    if not 2 <= length <= size - 8:
        raise refuse(f"a header of {length} bytes in a file of {size}", _WHOLE, _REMADE)
    return length


def metadata_of(
    header: Mapping[str, Any], model: type[Model], *, version: int | str, fix: str, refuse: Refuse
) -> Model:
    """The metadata entry as `model`, which has a field `version`.

    `version`: which are read, for the message; `fix` says how such a file is made properly.
    """
    found = header.get("__metadata__")
    if not isinstance(found, Mapping) or set(found) != {KEY} or not isinstance(found[KEY], str):
        got = f"keys {sorted(map(str, found))[:5]}" if isinstance(found, Mapping) else "none"
        raise refuse(f"metadata with {got}", f"the one metadata key {KEY!r}", fix)
    try:
        given = strict_json(found[KEY])
        metadata = model.model_validate_json(found[KEY])
        # NaN and Infinity pass in free-form values, but are not JSON and could not be written again.
        read = metadata.model_dump(mode="json")
        canonical(read)
    except ValidationError as error:
        first = next((e for e in error.errors() if e["loc"] == ("version",)), error.errors()[0])
        where = ".".join(map(str, first["loc"])) or "metadata"
        if where == "version":
            got = f"version {as_json(first['input'])}"
            raise refuse(got, f"version {version}", "read it with the CollabDM that wrote it") from error
        raise refuse(f"{where[:80]} = {got_in(first)}", told(first)[:200], fix) from error
    except (ValueError, RecursionError) as error:
        raise refuse(f"metadata: {str(error)[:120]}", "plain JSON with finite numbers", fix) from error
    if (wrong := no_number(given, read)) is not None:
        raise refuse(f"{wrong[0][:80]} = {as_json(wrong[1])}", "a number", fix)
    return metadata


def tensors_of(content: bytes, refuse: Refuse) -> dict[str, Tensor]:
    """All tensors, once the header has been found acceptable."""
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, TypeError, OverflowError, MemoryError, RuntimeError) as error:
        raise refuse(str(error)[:200], _WHOLE, _REMADE) from error
