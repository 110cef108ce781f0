"""Made-up flows in the form of 5G-NIDD's Combined.csv, for tests and demonstrations. They are NOT 5G-NIDD.

Columns, levels, the capture blocks of both stations, the number of flows of every type and station and the number of
missing cells of every column are those reported of the real file; every value is drawn (see `behaviour`).
"""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from pydantic import BaseModel

from collabdm.data.flows.behaviour import BEHAVIOURS, columns_of
from collabdm.data.flows.schema import FlowSchema, load_schema
from collabdm.errors import ConfigError, explain, unknown_name
from collabdm.randomness import Stream
from collabdm.storage.files import write_json, written_atomically

__all__ = ["Block", "full_blocks", "is_synthetic", "scaled", "write_flows"]

_SCHEMA = "5g-nidd"
_ROWS_AT_ONCE = 50_000
_NOTE = "Synthetic flows made by `collabdm flows generate`. They are not 5G-NIDD, nor measured traffic of any kind."


class Block(BaseModel, frozen=True, extra="forbid"):
    """One capture: benign flows and those of one attack, mixed, at one station."""

    station: str
    benign: int
    type: str
    malicious: int
    tool: str


class _Pattern(BaseModel, frozen=True, extra="forbid"):
    flows: int
    proto: str
    has: frozenset[str]


def full_blocks() -> list[Block]:
    """The blocks of the whole file, as reported: 1,215,890 rows, station 1 first."""
    return [Block.model_validate(block) for block in _profile()["blocks"]]


def scaled(blocks: list[Block], rows: int) -> list[Block]:
    """The same blocks with `rows` rows in all, each part rounded by largest remainder. Raises `ConfigError` below 1."""
    if rows < 1:
        raise ConfigError(explain("--rows", got=rows, expected="1 or more", fix="raise it"))
    counts = _shared(rows, np.array([(block.benign, block.malicious) for block in blocks]).reshape(-1)).reshape(-1, 2)
    return [
        block.model_copy(update={"benign": int(benign), "malicious": int(malicious)})
        for block, (benign, malicious) in zip(blocks, counts, strict=True)
    ]


def write_flows(path: Path, *, blocks: list[Block], seed: int) -> dict[str, Any]:
    """Write the CSV, and beside it `<name>.synthetic.json`, which says what it is; returns what that holds.

    The same seed and blocks give the same file. Raises `ConfigError` for a type that the schema does not have.
    """
    schema = load_schema(_SCHEMA)
    counts: dict[str, dict[str, int]] = {}
    for block in blocks:
        for level, flows in (("Benign", block.benign), (block.type, block.malicious)):
            if level not in BEHAVIOURS:
                raise ConfigError(unknown_name("type of flows", level, BEHAVIOURS))
            station = counts.setdefault(block.station, {})
            station[level] = station.get(level, 0) + flows
    facts = {"synthetic": True, "note": _NOTE, "schema": _SCHEMA, "seed": seed, "flows": counts}
    with written_atomically(path) as file:
        header = ["" if column.name == "Unnamed: 0" else column.name for column in schema.columns]
        file.write((",".join(header) + "\n").encode())
        for table in _tables(schema, blocks, seed):
            pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=False, quoting_style="none"))
        write_json(_label_of(path), facts)
    return facts


def is_synthetic(path: Path) -> bool:
    """Whether `write_flows` says so beside the file."""
    return _label_of(path).exists()


def _label_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.synthetic.json")


def _tables(schema: FlowSchema, blocks: list[Block], seed: int) -> Iterator[pa.Table]:
    draw = Stream(seed, "flows").generator()
    waiting = _patterns(blocks, draw)
    offset, station, index = 128.0, "", 0
    for block in blocks:
        if block.station != station:
            station, index = block.station, 0
        malicious = draw.permutation(np.repeat([False, True], [block.benign, block.malicious]))
        for first in range(0, len(malicious), _ROWS_AT_ONCE):
            part = malicious[first : first + _ROWS_AT_ONCE]
            columns = _rows(part, block, waiting, draw)
            columns["Unnamed: 0"] = index + np.arange(len(part))
            columns["Seq"] = 1 + first + np.arange(len(part))
            columns["Offset"] = offset + np.cumsum(draw.integers(128, 512, len(part)))
            offset, index = float(columns["Offset"][-1]), index + len(part)
            yield pa.table({column.name: _cells(columns[column.name]) for column in schema.columns})


def _rows(
    malicious: np.ndarray, block: Block, waiting: dict[str, np.ndarray], draw: np.random.Generator
) -> dict[str, np.ndarray]:
    """The columns of some rows of a block, without those of order."""
    columns: dict[str, np.ndarray] = {
        "Label": np.where(malicious, "Malicious", "Benign").astype(object),
        "Attack Type": np.where(malicious, block.type, "Benign").astype(object),
        "Attack Tool": np.where(malicious, block.tool, "Benign").astype(object),
    }
    for level, rows in (("Benign", np.flatnonzero(~malicious)), (block.type, np.flatnonzero(malicious))):
        chosen, waiting[level] = waiting[level][: len(rows)], waiting[level][len(rows) :]
        for number, pattern in enumerate(_profiles(level)):
            members = rows[chosen == number]
            if not len(members):
                continue
            made = columns_of(BEHAVIOURS[level], pattern.proto, pattern.has, len(members), draw)
            for name, values in made.items():
                if name not in columns:
                    columns[name] = np.empty(len(malicious), values.dtype)
                columns[name][members] = values
    return columns


def _patterns(blocks: list[Block], draw: np.random.Generator) -> dict[str, np.ndarray]:
    """For each type, which pattern its flows have, in the order of the file: shares exact, order drawn."""
    totals: dict[str, int] = {"Benign": sum(block.benign for block in blocks)}
    for block in blocks:
        if block.type != "Benign":
            totals[block.type] = totals.get(block.type, 0) + block.malicious
    shares = {level: _shared(total, np.array([p.flows for p in _profiles(level)])) for level, total in totals.items()}
    return {level: draw.permutation(np.repeat(np.arange(len(s)), s)) for level, s in shares.items()}


def _profiles(level: str) -> list[_Pattern]:
    return [_Pattern.model_validate(pattern) for pattern in _profile()["patterns"][level]]


def _profile() -> dict[str, Any]:
    text = resources.files("collabdm.data.flows").joinpath("profiles", f"{_SCHEMA}.json").read_text(encoding="utf-8")
    return json.loads(text)


def _shared(total: int, weights: np.ndarray) -> np.ndarray:
    """`total` in proportion to `weights`, int64, by largest remainder."""
    quota = total * weights / weights.sum()
    counts = np.floor(quota).astype(np.int64)
    counts[np.argsort(counts - quota, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _cells(values: np.ndarray) -> pa.Array:
    if values.dtype == object:
        return pa.array(values, pa.string())
    whole = values.dtype.kind == "f" and not np.isnan(values).any() and (values == np.rint(values)).all()
    # Argus writes six decimals.
    return pa.array(values.astype(np.int64) if whole else np.round(values, 6), from_pandas=True)
