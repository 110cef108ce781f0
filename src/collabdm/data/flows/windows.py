"""Consecutive flows into windows, each of which becomes one image.

A window never crosses a stream. For `pure` windows a stream is the flows of one station and one type (levels are
merged into classes only afterwards, paper section 5.1); for `time` windows it is all flows of one station.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from collabdm.data.flows.chunk import FlowChunk, joined
from collabdm.data.flows.schema import FlowSchema
from collabdm.errors import DataError, explain

__all__ = ["ATTACK_SHARE", "Window", "WindowKind", "check_hosts", "windows"]

WindowKind = Literal["pure", "time"]

ATTACK_SHARE = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """`flows` consecutive flows of one stream: `values` float32 [size, features], rows from `flows` on are zero.

    `label` is the class (None without labels), `type` the level of a pure window, `attack_share` the part of the flows
    that are not benign. Lines are those of the file, times those of the first and the last flow.
    """

    values: np.ndarray
    flows: int
    label: int | None
    type: int | None
    attack_share: float | None
    station: int
    host: str | None
    first_line: int
    last_line: int
    first_time: float | None
    last_time: float | None

    @property
    def padded(self) -> int:
        """How many flows are missing to a whole window."""
        return len(self.values) - self.flows


def windows(
    chunks: Iterable[FlowChunk],
    schema: FlowSchema,
    *,
    kind: WindowKind = "pure",
    by: Literal["station", "host"] = "station",
    size: int | None = None,
    attack_share: float = ATTACK_SHARE,
    partial: Literal["drop", "pad"] = "drop",
) -> Iterator[Window]:
    """Windows of `size` flows (the schema's number by default), in the order of their last lines.

    By `host`, every source host of a station has a stream of its own. A `time` window is labelled with the most
    frequent attack class where at least `attack_share` of its flows are attacks, else as benign. What is left of a
    stream at the end of the file is dropped, or padded with zeros.

    Raises:
        DataError: pure windows of flows without labels, or streams by host of flows without hosts.
    """
    length = size or schema.flows_per_image
    classes = np.array(schema.class_of_type)
    labelling = _Labelling(classes=classes, benign=schema.benign_class, kind=kind, attack_share=attack_share)
    waiting: dict[tuple[int, int, str], FlowChunk] = {}
    for chunk in chunks:
        if not len(chunk):
            continue
        _check(chunk, kind, by)
        made: list[Window] = []
        for key, rows in _streams(chunk, kind, by):
            stream = joined([waiting[key], chunk.take(rows)] if key in waiting else [chunk.take(rows)])
            whole = len(stream) // length * length
            made += [
                _window(stream.take(slice(first, first + length)), length, by, labelling)
                for first in range(0, whole, length)
            ]
            waiting[key] = stream.take(slice(whole, None))
        yield from sorted(made, key=lambda window: window.last_line)
    if partial == "pad":
        # One at a time: a padded window is large, and by host there may be one for every address that was made up.
        rest = sorted((flows for flows in waiting.values() if len(flows)), key=lambda flows: int(flows.lines[-1]))
        yield from (_window(flows, length, by, labelling) for flows in rest)


def _check(chunk: FlowChunk, kind: WindowKind, by: str) -> None:
    if kind == "pure" and chunk.types is None:
        raise DataError(explain("pure windows", got="flows without labels", expected="labels", fix="use --window time"))
    if by == "host":
        check_hosts(chunk)


def check_hosts(chunk: FlowChunk) -> None:
    """Raise `DataError` for flows without hosts."""
    if chunk.hosts is None:
        fix = 'write "host": the column of source hosts, in the schema'
        raise DataError(explain("windows by host", got="flows without hosts", expected="hosts", fix=fix))


def _streams(chunk: FlowChunk, kind: WindowKind, by: str) -> Iterator[tuple[tuple[int, int, str], np.ndarray]]:
    """(station, type or -1, host or empty) and the rows of each stream."""
    types = chunk.types if kind == "pure" and chunk.types is not None else np.full(len(chunk), -1)
    names, hosts = np.array([""]), np.zeros(len(chunk), np.int64)
    if by == "host" and chunk.hosts is not None:
        names, hosts = np.unique(chunk.hosts, return_inverse=True)
    keys, inverse = np.unique((chunk.stations << 16 | (types + 1)) * len(names) + hosts, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(inverse, minlength=len(keys)))[:-1]):
        first = rows[0]
        yield (int(chunk.stations[first]), int(types[first]), str(names[hosts[first]])), rows


@dataclass(frozen=True, kw_only=True, eq=False)
class _Labelling:
    """How windows are labelled; `classes` int64 [types]."""

    classes: np.ndarray
    benign: int
    kind: WindowKind
    attack_share: float

    def of(self, types: np.ndarray) -> tuple[int, float]:
        """The class of a window of flows of these types, and the share of attacks."""
        found = self.classes[types]
        attacks = found[found != self.benign]
        share = len(attacks) / len(found)
        return (
            int(np.bincount(attacks).argmax()) if len(attacks) and share >= self.attack_share else self.benign
        ), share


def _window(flows: FlowChunk, size: int, by: str, labelling: _Labelling) -> Window:
    values = flows.values
    if len(flows) < size:
        values = np.concatenate([values, np.zeros((size - len(flows), values.shape[1]), values.dtype)])
    label, share = (None, None) if flows.types is None else labelling.of(flows.types)
    level = int(flows.types[0]) if labelling.kind == "pure" and flows.types is not None else None
    return Window(
        values=values,
        flows=len(flows),
        label=label,
        type=level,
        attack_share=share,
        station=int(flows.stations[0]),
        host=str(flows.hosts[0]) if by == "host" and flows.hosts is not None else None,
        first_line=int(flows.lines[0]),
        last_line=int(flows.lines[-1]),
        first_time=None if flows.times is None else float(flows.times[0]),
        last_time=None if flows.times is None else float(flows.times[-1]),
    )
