"""A CSV of flows as chunks of pixels or of rows: streamed, checked, and with nothing repaired silently."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from collabdm.data.flows.cells import Cells, Texts, read_cells
from collabdm.data.flows.chunk import FlowChunk
from collabdm.data.flows.csv_blocks import Block, Header, csv_blocks, read_header
from collabdm.data.flows.doubled import check_same
from collabdm.data.flows.rows import number_values, text_values
from collabdm.data.flows.schema import Column, FlowSchema
from collabdm.data.flows.stations import Stations
from collabdm.data.flows.tally import Tally
from collabdm.data.flows.transforms import label_positions, number_pixels, port_numbers, text_pixels
from collabdm.errors import DataError, explain

__all__ = ["read_flows"]

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What becomes of the cells of a feature: of numbers float64 [n] and of texts, values [n]."""

    numbers: Callable[[Path, np.ndarray, Column, np.ndarray, Tally], np.ndarray]
    texts: Callable[[Path, np.ndarray, Column, Texts, Tally], np.ndarray]


_FORMS = {
    "pixels": _Form(numbers=number_pixels, texts=text_pixels),
    "rows": _Form(numbers=number_values, texts=text_values),
}


def read_flows(
    path: Path,
    schema: FlowSchema,
    *,
    keep_leaking: bool = False,
    labelled: bool = True,
    form: Literal["pixels", "rows"] = "pixels",
    tally: Tally | None = None,
) -> Iterator[FlowChunk]:
    """Stream the flows of a `.csv`, plain or packed, about ten thousand at a time, in bounded memory.

    The file has a header line; further columns are ignored, and the order of the columns does not matter. Without
    `labelled`, the label column and the station rule are not needed: types are None, and all flows of the first
    station. With the form `rows`, values are those of a table (`collabdm.data.flows.rows`) instead of pixels. `tally`
    gets the counts of all repairs.

    Raises:
        DataError: not such a file, a column missing, or twice with other cells, a row of another length, a cell that is
            not what the schema declares, or no rows at all; line and column are named.
    """
    counts = tally or Tally()
    blocks = csv_blocks(path)
    found = read_header(path, next(blocks))
    needed = _needed(schema, keep_leaking, labelled)
    _check_header(path, found, needed)
    counts.separator = found.separator
    counts.ignored_columns = tuple(name for name in found.names if name not in {c.name for c in schema.columns})
    reading = _Reading(path, schema, schema.features(keep_leaking=keep_leaking), labelled, _FORMS[form], counts)
    # Positions, not names: columns that nobody needs may be called alike.
    names: list[str] = []
    twins: list[tuple[str, str]] = []
    for position, name in enumerate(found.names, 1):
        own = name if name in needed else f"#{position}"
        if own in names:
            own = f"{name} (the file's column {position})"
            twins.append((name, own))
        names.append(own)
    counts.doubled_columns = tuple(name for name, _ in twins)
    header = replace(found, names=tuple(names))
    for block in blocks:
        yield from reading.chunks(block, header, needed, twins)
    if not counts.rows:
        raise DataError(explain(f"{path}, line 2", got="no rows", expected="a flow a line", fix="check the file"))


class _Reading:
    def __init__(
        self, path: Path, schema: FlowSchema, features: Sequence[Column], labelled: bool, form: _Form, tally: Tally
    ) -> None:
        self._path, self._schema, self._features, self._form, self._tally = path, schema, features, form, tally
        self._labelled = labelled
        self._stations = Stations(path, schema.station)
        self._seen: set[int] | None = set() if schema.deduplicate and labelled else None

    def chunks(
        self, block: Block, header: Header, needed: dict[str, str], twins: Sequence[tuple[str, str]]
    ) -> Iterator[FlowChunk]:
        asked = needed | {twin: needed[name] for name, twin in twins}
        numbers = [name for name, kind in asked.items() if kind == "number"]
        texts = [name for name, kind in asked.items() if kind == "text"]
        cells = read_cells(self._path, block, header, numbers=numbers, texts=texts, tally=self._tally)
        check_same(self._path, cells, twins)
        if len(cells.lines):
            self._tally.rows += len(cells.lines)
            yield self._chunk(cells)

    def _chunk(self, cells: Cells) -> FlowChunk:
        path, schema, tally, lines = self._path, self._schema, self._tally, cells.lines
        values = np.empty((len(lines), len(self._features)), np.float32)
        for position, column in enumerate(self._features):
            if column.kind == "categorical":
                values[:, position] = self._form.texts(path, lines, column, cells.texts[column.name], tally)
                continue
            numbers = (
                port_numbers(path, lines, column, cells.texts[column.name], tally)
                if column.format == "port"
                else cells.numbers[column.name]
            )
            values[:, position] = self._form.numbers(path, lines, column, numbers, tally)
        types = None
        if self._labelled:
            types = label_positions(path, lines, schema.label, cells.texts[schema.label.name], tally)
        host = cells.texts[schema.host] if schema.host else None
        chunk = FlowChunk(
            values=values,
            types=types,
            stations=self._stations.of(cells) if self._labelled else np.zeros(len(lines), np.int64),
            lines=lines,
            times=cells.numbers[schema.time] if schema.time else None,
            # Objects: an array of text is as wide as its longest cell in every row, which a stranger chooses.
            hosts=None if host is None else np.array([*host.levels, ""], dtype=object)[host.codes],
        )
        return chunk if self._seen is None else self._distinct(chunk, cells)

    def _distinct(self, chunk: FlowChunk, cells: Cells) -> FlowChunk:
        assert self._seen is not None
        fresh = []
        for row, key in enumerate(_row_hashes(cells, self._schema).tolist()):
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(row)
        self._tally.duplicates += len(chunk) - len(fresh)
        return chunk.take(np.array(fresh, np.int64))


def _needed(schema: FlowSchema, keep_leaking: bool, labelled: bool) -> dict[str, str]:
    """The columns to read: `number` or `text`."""
    columns = schema.features(keep_leaking=keep_leaking or (labelled and schema.deduplicate))
    needed: dict[str, str] = {c.name: c.read_as for c in columns}
    if labelled:
        needed[schema.label.name] = "text"
        if schema.station.column:
            needed[schema.station.column] = "number" if schema.station.kind == "restart" else "text"
    if schema.time:
        needed[schema.time] = "number"
    if schema.host:
        needed[schema.host] = "text"
    return needed


def _check_header(path: Path, header: Header, needed: dict[str, str]) -> None:
    missing = [name for name in needed if name not in header.names]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        got = f"no column {', '.join(missing[:_NAMED])}{more}"
        fix = "use another --schema, or add the columns" + _near(missing, header.names)
        if len(missing) == len(needed):
            fix = "begin the file with a header line, its names separated by commas (or semicolons, tabs, bars)"
        raise DataError(explain(f"{path}, line 1", got=got, expected="the columns of the schema", fix=fix))


def _near(missing: Sequence[str], found: Sequence[str]) -> str:
    """The first name of the file that differs from a missing one in case, or in what is no letter, alone."""
    plain = {re.sub(r"\W|_", "", name).casefold(): name for name in found}
    pairs = [(name, plain.get(re.sub(r"\W|_", "", name).casefold())) for name in missing]
    near = next(((name, other) for name, other in pairs if other), None)
    return f": the file's {near[1]} may be the schema's {near[0]}" if near else ""


def _row_hashes(cells: Cells, schema: FlowSchema) -> np.ndarray:
    """64 bits for each row, uint64 [n], of all its cells but the dropped columns'."""
    hashes = np.zeros(len(cells.lines), np.uint64)
    for column in schema.columns:
        if column.name in cells.numbers and column.kind != "drop":
            bits = (cells.numbers[column.name] + 0.0).view(np.uint64)
        elif column.name in cells.texts and column.kind != "drop":
            texts = cells.texts[column.name]
            digests = [hashlib.blake2b(level.encode(), digest_size=8).digest() for level in (*texts.levels, "")]
            bits = np.frombuffer(b"".join(digests), np.uint64)[texts.codes]
        else:
            continue
        # The mixing of SplitMix64: every bit of a cell reaches every bit of the hash.
        hashes = (hashes ^ bits) * np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(31)
        hashes *= np.uint64(0x94D049BB133111EB)
        hashes ^= hashes >> np.uint64(29)
    return hashes
