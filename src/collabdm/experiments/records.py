"""An experiment's folder: what it was begun with, one record per cell, and seconds spent.

Several processes may work in it: what concerns more than one cell is written at the folder's door.

experiment.json   name, preset, settings, and which data stand in for which
data.json         digests of the data sets used
cells/<cell>.json the record of a finished or failed cell
runs/<cell>/      its run folder; without the contributions once it is finished
kept/             what cells share; removed once every cell is finished
spent.json        seconds of work per cell, over all interruptions
"""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.errors import RunFolderError, explain
from collabdm.experiments.base import Cell
from collabdm.experiments.record_shapes import MOST_SECONDS, CellRecord, Facts, FinishedRecord, check_shape
from collabdm.storage.files import read_json, sweep, write_json
from collabdm.storage.locks import DOOR, LOCK

__all__ = [
    "FOLDER_FACTS",
    "KEPT",
    "RUNS",
    "begun_with",
    "commit",
    "digest_of",
    "failed_record",
    "finished_record",
    "opened",
    "read_records",
    "read_spent",
    "same_data",
    "write_record",
    "write_spent",
]

FOLDER_FACTS = "experiment.json"
RUNS, KEPT, CELLS = "runs", "kept", "cells"
# The last is what version 0.1 left.
_LOCKS = (LOCK, DOOR, "lock")

# What a cell's record takes from its run's metrics; the losses, one a step, stay in the run folder.
_OF_METRICS = (
    *("accuracy", "curve", "repeats", "bytes", "seconds", "memory", "peak_memory", "product", "networks", "rounds"),
    *("partition", "protocol", "topped_up", "skipped", "missing_classes", "untouched_classes", "hardware", "versions"),
    "measured",
)


def digest_of(config: Config) -> str:
    """SHA-256 of all settings of a cell as asked for (an `auto` engine is still `auto`)."""
    text = json.dumps(config.model_dump(mode="json", exclude_none=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def finished_record(described: Mapping[str, Any], metrics: Mapping[str, Any], spent: float) -> dict[str, Any]:
    """A cell's record. `spent`: seconds of work here; what cells share counts once, but always in `seconds`."""
    return {**described, **{name: metrics[name] for name in _OF_METRICS if name in metrics}, "spent": round(spent, 3)}


def failed_record(described: Mapping[str, Any], error: Exception, spent: float) -> dict[str, Any]:
    """The record of a cell that could not be run; it is tried again by the next run."""
    return {**described, "failed": str(error), "spent": round(spent, 3)}


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """One JSON file, whole or not at all."""
    write_json(folder / CELLS / f"{record['cell']}.json", record)


def read_records(folder: Path, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """The records that are there, by cell, in the order of `cells`.

    Raises `RunFolderError` for a file that is none, or is another cell's.
    """
    found = {}
    for cell in cells:
        path = folder / CELLS / f"{cell.name}.json"
        if path.exists():
            record = _read(path)
            kind = CellRecord if isinstance(record, dict) and "failed" in record else FinishedRecord
            fix = "remove the file, and run the cell again"
            check_shape(kind, record, path, expected="a cell's record", fix=fix)
            if record["cell"] != cell.name:
                got = f"the record of {record['cell'][:80]}"
                raise RunFolderError(explain(f"{path}", got=got, expected=f"that of {cell.name}", fix=fix))
            found[cell.name] = record
    return found


def read_spent(folder: Path) -> dict[str, float]:
    """Seconds of work per cell so far. Raises `RunFolderError` for a damaged file."""
    path = folder / "spent.json"
    return _object(path, _are_seconds) if path.exists() else {}


def write_spent(folder: Path, spent: Mapping[str, float]) -> None:
    """Seconds of work per cell so far; cells that are not in `spent` keep what is noted. To be called at the door."""
    noted = read_spent(folder) | {name: round(seconds, 3) for name, seconds in spent.items()}
    write_json(folder / "spent.json", noted)


def same_data(folder: Path, name: str, digest: str, records: Iterable[Mapping[str, Any]]) -> None:
    """Note the digest of the data set `name`, or check that it is the one used in this folder before, where that is
    known: records of earlier versions do not say. Raises `RunFolderError`.
    """
    path = folder / "data.json"
    noted = _object(path, lambda value: isinstance(value, str)) if path.exists() else {}
    of_records = [one.get("data") for one in records if one.get("dataset") == name and "failed" not in one]
    for known in (noted.get(name), *of_records):
        if known is not None and known != digest:
            fix = "give --data the same data again, or choose another --out"
            expected = f"{known[:12]}, with which cells here were run"
            raise RunFolderError(
                explain(f"{folder}: data of {name}", got=f"SHA-256 {digest[:12]}", expected=expected, fix=fix)
            )
    if name not in noted:
        write_json(path, {**noted, name: digest})


def begun_with(folder: Path) -> dict[str, Any] | None:
    """What the folder's experiment was begun with; None for a folder that is not there, or is empty.

    Raises `RunFolderError` for a folder of other things.
    """
    path = folder / FOLDER_FACTS
    if path.exists():
        tree = _read(path)
        fix = "restore it, or choose another --out"
        check_shape(Facts, tree, path, expected="what an experiment was begun with", fix=fix)
        return tree
    if folder.exists() and (not folder.is_dir() or any(child.name not in _LOCKS for child in folder.iterdir())):
        fix = "choose another --out"
        raise RunFolderError(explain(f"{folder}", got="other content", expected="an experiment's folder", fix=fix))
    return None


def opened(folder: Path, facts: Mapping[str, Any]) -> None:
    """Begin the folder, or check that it was begun with the same `facts`; to be called at its door.

    Raises `RunFolderError`.
    """
    stored = begun_with(folder)
    if stored is None:
        write_json(folder / FOLDER_FACTS, facts)
        return
    for name, value in facts.items():
        if stored.get(name) != value:
            fix = "run it again with those, or choose another --out"
            if name == "stand_ins":
                fix = f"{_data_as_begun(stored[name], value)}, or choose another --out"
            expected = f"{json.dumps(stored.get(name))}, with which it was begun"
            raise RunFolderError(explain(f"{folder}: {name}", got=json.dumps(value), expected=expected, fix=fix))
    # Within a cell or the results they share, others may be writing.
    sweep(folder, below=False)
    sweep(folder / CELLS, below=False)


def commit() -> str | None:
    """The commit of the source that runs, with `+changes` where it was edited since; None outside its repository."""
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    found = _git(here.parent, "rev-parse", "HEAD")
    changed = _git(here.parents[1], "status", "--porcelain", "--untracked-files=no", "--", ".")
    return found and found + ("+changes" if changed else "")


def _data_as_begun(stored: Mapping[str, str], asked: Mapping[str, str]) -> str:
    """What to do with --data, so that the same data sets are stood in for."""
    giving = [f"give --data {name}=PATH" for name in asked if name not in stored]
    leaving = [f"leave out --data {name}=..." for name in stored if name not in asked]
    return " and ".join([*giving, *leaving]) or "let the same data stand in"


def _are_seconds(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= MOST_SECONDS


def _object(path: Path, fits: Callable[[object], bool]) -> dict[str, Any]:
    """A JSON object whose values all fit; raises `RunFolderError`."""
    tree = _read(path)
    if not isinstance(tree, dict) or not all(map(fits, tree.values())):
        expected = "what an experiment writes there"
        raise RunFolderError(explain(f"{path}", got="another file", expected=expected, fix="remove it"))
    return tree


def _read(path: Path) -> Any:
    """The JSON in a file; None where there is none, or it is damaged: callers say what they expected."""
    try:
        return read_json(path)
    except RunFolderError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
