"""The most memory that this process held during a stage (resident set, in megabytes of 10^6 bytes).

The kernel keeps the high-water mark; on Linux it can be lowered to the present, so that a stage has its own. Elsewhere
it is that of the process so far.
"""

import resource
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["begin_stage", "highest", "merged", "with_total"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def begin_stage() -> None:
    """Lower the mark to what is held now. Stages that a process runs side by side have one mark between them."""
    try:
        _RESET.write_text("5")
    except OSError:
        return  # no Linux, or a sandbox that forbids it: the mark stays


def highest() -> float:
    """The mark since the last `begin_stage`."""
    try:
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")) / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def merged(*marks: Mapping[str, float]) -> dict[str, float]:
    """The largest of each stage."""
    together: dict[str, float] = {}
    for mark in marks:
        for stage, value in mark.items():
            together[stage] = max(value, together.get(stage, 0.0))
    return together


def with_total(stages: Mapping[str, float]) -> dict[str, float]:
    """The marks of the stages that have one, and `total`, the largest."""
    known = {stage: round(value, 1) for stage, value in stages.items() if value}
    return known | ({"total": max(known.values())} if known else {})
