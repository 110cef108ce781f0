"""How the floats of a contribution are written: one entry per encoding."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["ENCODINGS", "Encoding"]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The dtype on the wire, and the conversion to it; decoding is a cast to float32."""

    dtype: np.dtype
    encode: Callable[[np.ndarray], np.ndarray]


def _half(values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float16).max
    return np.clip(values, -largest, largest).astype(np.float16)


ENCODINGS: dict[str, Encoding] = {
    "none": Encoding(dtype=np.dtype(np.float32), encode=lambda values: values.astype(np.float32)),
    "fp16": Encoding(dtype=np.dtype(np.float16), encode=_half),
}
