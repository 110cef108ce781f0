"""How a run's set was judged after the run: what `collabdm evaluate` kept in it."""

import hashlib
from pathlib import Path

from collabdm.distilled.folder import FILE
from collabdm.report.reading import Evaluation, Metrics, checked
from collabdm.storage.files import read_json

__all__ = ["EVALUATIONS", "judged_later", "set_digest", "with_judgement"]

EVALUATIONS = "evaluations.json"
"""The file in a run's folder."""


def judged_later(folder: Path) -> tuple[list[Evaluation], int]:
    """Evaluations of the set that the run has now, in their order; and how many are of sets that it had before.

    Raises `RunFolderError` where the file is damaged.
    """
    path, place = folder / EVALUATIONS, folder / "distilled"
    if not path.is_file() or not (place / FILE).is_file():
        return [], 0
    found = checked(tuple[Evaluation, ...], read_json(path), str(path))
    digest = set_digest(place)
    now = [one for one in found if one.set == digest]
    return now, len(found) - len(now)


def set_digest(place: Path) -> str:
    """The SHA-256 of the set in `place`: a set that has changed since is another."""
    return hashlib.sha256((place / FILE).read_bytes()).hexdigest()


def with_judgement(metrics: Metrics, later: list[Evaluation]) -> Metrics:
    """The metrics of a round by files with the accuracy of its last evaluation; a run that judged itself stays."""
    if metrics.accuracy is not None or not later:
        return metrics
    last = later[-1]
    judged = {"accuracy": last.accuracy, "networks": last.networks, "protocol": last.protocol}
    took = {} if last.seconds is None else {"seconds": metrics.seconds | {"evaluate": last.seconds}}
    return metrics.model_copy(update=judged | took)
