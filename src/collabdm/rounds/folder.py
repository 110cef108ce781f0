"""What the folder of a finished round says of itself: its plan, its settings, its record."""

from pathlib import Path
from typing import Any

from collabdm.config import Config, load_config
from collabdm.errors import PlanError, RunFolderError, explain
from collabdm.protocol import Plan, decode_plan
from collabdm.rounds.records import HELD, checked_metrics, read_round
from collabdm.storage.files import read_json
from collabdm.storage.reading import regular_bytes

__all__ = ["config_of", "plan_bytes", "plan_of", "record_of"]

# A plan is under 1 KB and the names of its clients and classes: no honest one comes near this.
_MOST_PLAN = 16 * 2**20


def plan_bytes(path: Path) -> bytes:
    """The bytes of a plan file. Raises `PlanError` where it cannot be read, or is larger than any plan."""
    try:
        return regular_bytes(path, _MOST_PLAN)
    except OSError as error:
        got = error.strerror or "an error"
        raise PlanError(
            explain(f"plan {path}", got=got, expected="a plan file", fix="check the path, or ask for it again")
        ) from None


def plan_of(folder: Path) -> Plan:
    """The plan. Raises `RunFolderError` where there is none."""
    path = folder / "plan.json"
    if not path.exists():
        raise _no_round(folder, "no plan.json")
    return decode_plan(plan_bytes(path), name=f"plan {path}")


def config_of(folder: Path) -> Config:
    """The settings. Raises `RunFolderError` where there are none."""
    path = folder / "config.toml"
    if not path.exists():
        raise _no_round(folder, "no config.toml")
    return load_config(file=path)


def record_of(folder: Path) -> dict[str, Any]:
    """`round.json`. Raises `RunFolderError` where no round was finished, or a simulation was."""
    parts = ("round.json", "metrics.json", "distilled")
    absent = [name for name in parts if not (folder / name).exists()]
    if absent:
        raise _no_round(folder, f"no {absent[0]} yet")
    metrics = read_json(folder / "metrics.json", dict)
    if "partition" in metrics:
        fix = "hold the round by files: collabdm distill RUN/plan.json RUN/contributions --out NEW"
        raise RunFolderError(explain(f"{folder}", got="a simulation", expected="a round that was held", fix=fix))
    checked_metrics(metrics, folder / "metrics.json", HELD)
    return read_round(folder / "round.json")


def _no_round(folder: Path, got: str) -> RunFolderError:
    fix = "check --out, or finish the run with --resume"
    return RunFolderError(explain(f"{folder}", got=got, expected="the folder of a finished round", fix=fix))
