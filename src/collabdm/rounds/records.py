"""The JSON files of a run folder, read back: disks fill and people edit, and what is damaged is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from collabdm.errors import RunFolderError, explain
from collabdm.report.reading import Metrics, checked
from collabdm.storage.files import read_json

__all__ = ["HELD", "SIMULATED", "Needed", "checked_metrics", "read_metrics", "read_reception", "read_round"]

Needed = Mapping[str, type | tuple[type, ...]]

_NUMBER = (int, float)
_OF_ANY: Needed = {"bytes": dict, "bytes.down": dict, "bytes.up": dict, "seconds": dict}
HELD: Needed = _OF_ANY | {
    "seconds.distill": _NUMBER,
    **dict.fromkeys(("topped_up", "refused"), dict),
    **dict.fromkeys(("missing", "missing_classes"), list),
}
"""What is read of the metrics of a round, by dotted name."""
SIMULATED: Needed = _OF_ANY | {
    **{"accuracy": dict, "accuracy.mean": _NUMBER, "accuracy.std": _NUMBER, "accuracy.networks": list},
    **{f"seconds.{stage}": _NUMBER for stage in ("server", "evaluate", "total")},
    **{"seconds.client": dict, "product": str, "networks": list, "rounds": int, "partition": dict},
    "partition.kind": str,
}
"""What is read of those of a simulation."""


class _Entry(BaseModel, strict=True):
    kind: Literal["add", "remove", "forget"]
    client: str


class _Round(BaseModel, strict=True):
    basis: str
    metrics: dict[str, Any]
    facts: dict[str, Any] = {}
    history: list[_Entry] = []


class _Reception(BaseModel, strict=True, allow_inf_nan=False):
    closed: bool = False
    refused: dict[str, str] = {}
    source: str | None = None
    closes: float | None = None
    seconds: float = Field(0.0, ge=0)
    monotonic: float = 0.0
    boot: str = ""


def read_metrics(path: Path, needed: Needed) -> dict[str, Any]:
    """A `metrics.json` that has what is `needed`. Raises `RunFolderError`."""
    return checked_metrics(read_json(path, dict), path, needed)


def checked_metrics(tree: dict[str, Any], path: Path, needed: Needed) -> dict[str, Any]:
    """`tree` itself, where it has what is `needed` and all else is as reports read it. Raises `RunFolderError`."""
    checked(Metrics, tree, str(path))
    for name, kind in needed.items():
        *above, last = name.split(".")
        place: Any = tree
        for key in above:
            place = place[key]
        if not isinstance(place.get(last), kind) or isinstance(place[last], bool):
            got = f"no {name}" if last not in place else f"{place[last]!r}"[:80] + f" for {name}"
            raise _damaged(path, got)
    return tree


def read_round(path: Path, needed: Needed = HELD) -> dict[str, Any]:
    """A `round.json`. Raises `RunFolderError`."""
    tree = read_json(path, dict)
    checked(_Round, tree, str(path))
    checked_metrics(tree["metrics"], path, needed)
    return tree


def read_reception(path: Path) -> dict[str, Any]:
    """A `reception.json`; empty where there is none. Raises `RunFolderError`."""
    if not path.exists():
        return {}
    tree = read_json(path, dict)
    checked(_Reception, tree, str(path))
    complete = {"refused"} if tree.get("closed") else {"closes"}
    timed = {"monotonic", "seconds"} if tree.get("boot") else set()
    if missing := sorted((complete | timed) - tree.keys()):
        raise _damaged(path, f"no {missing[0]}")
    return tree


def _damaged(path: Path, got: str) -> RunFolderError:
    fix = "restore the file, or remove the folder that it is in and run it again"
    return RunFolderError(explain(str(path), got=got, expected="what CollabDM writes there", fix=fix))
