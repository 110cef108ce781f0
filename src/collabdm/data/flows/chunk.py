"""A run of flows of a file, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["FlowChunk", "joined"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowChunk:
    """n flows in the file's order.

    `values`: float32 [n, features], pixels in [0, 1], or as stored rows of a table have them; `types`: int64 [n],
    levels of the schema's label column, or None without labels; `stations`: int64 [n], positions in the schema's
    station names; `lines`: int64 [n], lines of the file (the header is line 1); `times`: float64 [n] in seconds and
    `hosts`: text [n], where the schema has them.
    """

    values: np.ndarray
    types: np.ndarray | None
    stations: np.ndarray
    lines: np.ndarray
    times: np.ndarray | None = None
    hosts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: np.ndarray | slice) -> "FlowChunk":
        """The flows at `rows`, in that order."""
        return FlowChunk(
            values=self.values[rows],
            types=None if self.types is None else self.types[rows],
            stations=self.stations[rows],
            lines=self.lines[rows],
            times=None if self.times is None else self.times[rows],
            hosts=None if self.hosts is None else self.hosts[rows],
        )


def joined(parts: Sequence[FlowChunk]) -> FlowChunk:
    """Several chunks of one file as one; at least one."""
    if len(parts) == 1:
        return parts[0]

    def column(name: str) -> np.ndarray | None:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return FlowChunk(
        values=np.concatenate([part.values for part in parts]),
        types=column("types"),
        stations=np.concatenate([part.stations for part in parts]),
        lines=np.concatenate([part.lines for part in parts]),
        times=column("times"),
        hosts=column("hosts"),
    )
