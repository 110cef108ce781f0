"""How a run's set was judged, kept in the run: each evaluation with the digest of the set that it is of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collabdm.report.evaluated import EVALUATIONS, set_digest
from collabdm.storage.files import read_json, write_json

__all__ = ["keep_evaluation", "run_of"]

# What makes two evaluations of one set the same: the later one then takes the place of the earlier.
_SAME = ("set", "dataset", "networks", "protocol", "seed")


def run_of(place: Path) -> Path | None:
    """The run folder whose set lies in `place` (`RUN/distilled`, or that of a repeat); None for a set by itself."""
    above = place.resolve().parents
    return next((folder for folder in above[:2] if (folder / "config.toml").is_file()), None)


def keep_evaluation(run: Path, place: Path, found: Mapping[str, Any]) -> Path:
    """Add what was found of the set in `place` to the run's evaluations; returns their file.

    Raises `OSError` where it cannot be written, `RunFolderError` where it is damaged.
    """
    path = run / EVALUATIONS
    entry = {"set": set_digest(place), "when": datetime.now(UTC).isoformat(timespec="seconds"), **found}
    known: list[dict[str, Any]] = read_json(path, list) if path.is_file() else []
    others = [one for one in known if any(one.get(key) != entry.get(key) for key in _SAME)]
    write_json(path, [*others, entry])
    return path
