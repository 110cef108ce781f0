"""What a reader hands to `loading`: arrays as found, classes not yet settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["RawData", "RawPart"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RawPart:
    """One split: images uint8 or float32 [n, C, H, W], labels [n] (integers or text), further columns [n].

    `any_range`: the pixels are a distilled set's, which may lie outside [0, 1].
    """

    images: np.ndarray
    labels: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    any_range: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class RawData:
    """The splits by name. Labels are positions in `classes` or names of them; where that is None, values.

    `facts`: what the source says about how its images were made, as plain JSON. `passed`: how much was found that is
    not read, by why.
    """

    name: str
    classes: tuple[str, ...] | None
    parts: Mapping[str, RawPart]
    facts: Mapping[str, Any] = field(default_factory=dict)
    passed: Mapping[str, int] = field(default_factory=dict)
