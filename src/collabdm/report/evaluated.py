"""How a run's set was judged after the run: what `collabdm evaluate` kept in it."""

import hashlib
from pathlib import Path

from collabdm.report.reading import Evaluation, Metrics, checked
from collabdm.storage.files import read_json

__all__ = ["judged_later", "with_judgement"]

_FILE = "evaluations.json"


def judged_later(folder: Path) -> tuple[list[Evaluation], int]:
    """Evaluations of the set that the run has now, in their order; and how many are of sets that it had before.

    Raises `RunFolderError` where the file is damaged.
    """
    path, place = folder / _FILE, folder / "distilled" / "distilled.safetensors"
    if not path.is_file() or not place.is_file():
        return [], 0
    found = checked(tuple[Evaluation, ...], read_json(path), str(path))
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    now = [one for one in found if one.set == digest]
    return now, len(found) - len(now)


def with_judgement(metrics: Metrics, later: list[Evaluation]) -> Metrics:
    """The metrics of a round by files with the accuracy of its last evaluation; a run that judged itself stays."""
    if metrics.accuracy is not None or not later:
        return metrics
    last = later[-1]
    judged = {"accuracy": last.accuracy, "networks": last.networks, "protocol": last.protocol}
    took = {} if last.seconds is None else {"seconds": metrics.seconds | {"evaluate": last.seconds}}
    return metrics.model_copy(update=judged | took)
