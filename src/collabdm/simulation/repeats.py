"""Several whole runs of the same settings as one."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.engine.memory import merged
from collabdm.evaluation.networks import spread

__all__ = ["gathered"]


def gathered(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Metrics of all runs together: every network of each, seconds added up; all else is that of the first."""
    first = runs[0]
    clients = sorted({name for one in runs for name in one["seconds"]["client"]})
    networks = [network | {"repeat": i} for i, one in enumerate(runs) for network in one["accuracy"]["networks"]]
    classes = {name: [one["accuracy"]["per_class"][name] for one in runs] for name in first["accuracy"]["per_class"]}
    per_class = {name: None if None in values else statistics.fmean(values) for name, values in classes.items()}
    return {
        **first,
        "accuracy": spread(networks) | {"per_class": per_class},
        "repeats": [one["accuracy"]["mean"] for one in runs],
        "memory": merged(*(one.get("memory", {}) for one in runs)),
        "seconds": {
            stage: sum(one["seconds"][stage] for one in runs) for stage in first["seconds"] if stage != "client"
        }
        | {"client": {name: sum(one["seconds"]["client"].get(name, 0.0) for one in runs) for name in clients}},
    }
