"""How the floats of a contribution are written: one entry per encoding, each documented in docs/wire.md.

An encoding turns two arrays of floats, the statistics (`means`) and the local set (named by the modality: `images`),
into named tensors, and back. The name of every tensor begins with the array's, then a dot where there are several: so
bytes can be told by part.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator

from collabdm.checking import LARGEST_VALUE, Checker, rounded
from collabdm.modality import Modality
from collabdm.protocol.deflating import deflated, inflated
from collabdm.registry import Table, named_in

__all__ = ["ENCODINGS", "Encoding", "EncodingName", "plain_floats"]

Shape = tuple[int, ...]
Tensors = Mapping[str, np.ndarray]

# Below it a scale would be subnormal, and coarser than its own unit.
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """`tensors`: the names that `encode` gives, of statistics [seeds, groups, rows, d] and a local set [n, *shape].

    `decode` takes these tensors from a stranger, the statistics' shape and the number of samples: it checks dtypes,
    shapes, ranges and that all is finite before it computes, raises what its checker raises, and returns float32
    statistics and samples. Encoding hides nothing: what was not finite is refused when it is decoded.
    """

    tensors: Callable[[Modality], frozenset[str]]
    encode: Callable[[np.ndarray, np.ndarray, Modality], dict[str, np.ndarray]]
    decode: Callable[[Tensors, Shape, int, Modality, Checker], tuple[np.ndarray, np.ndarray]]


def plain_floats(values: np.ndarray, encoding: str) -> np.ndarray:
    """Floats that are neither statistics nor samples (a rival's parameters, say): float32 under fp32, else float16."""
    return rounded(values, np.dtype(np.float32 if encoding == "fp32" else np.float16))


def _plain(kind: type[np.floating]) -> Encoding:
    """Both arrays as floats of this kind."""
    dtype = np.dtype(kind)

    def encode(statistics: np.ndarray, samples: np.ndarray, sample: Modality) -> dict[str, np.ndarray]:
        return {"means": rounded(statistics, dtype), sample.plural: rounded(samples, dtype)}

    def decode(
        tensors: Tensors, statistics: Shape, count: int, sample: Modality, check: Checker
    ) -> tuple[np.ndarray, np.ndarray]:
        return (
            check.floats(tensors["means"], "means", statistics, dtype),
            check.floats(tensors[sample.plural], sample.plural, (count, *sample.shape), dtype),
        )

    return Encoding(tensors=lambda sample: frozenset({"means", sample.plural}), encode=encode, decode=decode)


def _whole_numbers(levels: int, *, deflate: bool) -> Encoding:
    """Statistics as whole numbers from -`levels` to `levels` times a scale of every vector, Huffman-coded with
    `deflate`; the local set in its modality's compact form."""

    def encode(statistics: np.ndarray, samples: np.ndarray, sample: Modality) -> dict[str, np.ndarray]:
        largest = np.abs(statistics).max(axis=-1, initial=0.0).astype(np.float32)
        scale = largest / np.float32(levels)
        scale[scale < SMALLEST_SCALE] = 0.0
        usable = np.isfinite(scale) & (scale > 0)
        divided = statistics.astype(np.float32) / np.where(usable, scale, np.float32(1))[..., None]
        whole = np.clip(np.rint(np.where(usable[..., None], divided, 0)), -levels, levels).astype(np.int8)
        return {"means": deflated(whole) if deflate else whole, "means.scale": scale} | sample.to_compact(samples)

    def decode(
        tensors: Tensors, statistics: Shape, count: int, sample: Modality, check: Checker
    ) -> tuple[np.ndarray, np.ndarray]:
        values = tensors["means"]
        if deflate:
            values = inflated(values, "means", math.prod(statistics), check).view(np.int8).reshape(statistics)
        check.form(values, "means", statistics, np.dtype(np.int8))
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        check.that(-levels <= low and high <= levels, f"{low} to {high} in means", f"-{levels} to {levels}")
        most = float(np.float32(LARGEST_VALUE) / np.float32(levels))
        scale = check.floats(
            tensors["means.scale"], "means.scale", statistics[:-1], np.dtype(np.float32), least=0.0, most=most
        )
        samples = sample.from_compact(tensors, count, check)
        return values.astype(np.float32) * scale[..., None], samples

    return Encoding(
        tensors=lambda sample: frozenset({"means", "means.scale", *sample.compact}), encode=encode, decode=decode
    )


ENCODINGS: dict[str, Encoding] = Table(
    {
        "fp32": _plain(np.float32),
        "fp16": _plain(np.float16),
        # Symmetric, so that a vector and its negative have the same error.
        "int8": _whole_numbers(127, deflate=False),
        "int6": _whole_numbers(31, deflate=True),
    }
)


def _renamed(value: object) -> object:
    return "fp32" if value == "none" else value


EncodingName = Annotated[str, named_in(ENCODINGS), BeforeValidator(_renamed)]
"""A key of `ENCODINGS`; "none", as fp32 was called, is still read."""
