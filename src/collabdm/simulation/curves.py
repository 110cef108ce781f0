"""What a point on the way of a round had cost by then."""

import statistics
from collections.abc import Mapping
from typing import Any

from collabdm.protocol import Plan

__all__ = ["bytes_at"]


def bytes_at(steps: int, plan: Plan, sent: Mapping[str, Any]) -> dict[str, float]:
    """`bytes_down` and `bytes_up`: bytes per client (means) that the set after so many server steps needs.

    `sent`: `bytes` of a round's metrics. The first pass takes the seeds in order, so of a client's statistics (`means`)
    the share of its seeds below `steps` was used by then; of all else everything. Later passes send nothing.
    """
    up = []
    for client, parts in sent.get("parts", {}).items():
        assigned = plan.assigned(client)
        used = sum(t < steps for t in assigned) / max(len(assigned), 1)
        up.append(sum(parts.values()) - (1 - used) * parts["means"])
    down = list(sent["down"].values())
    return {"bytes_down": statistics.fmean(down or [0]), "bytes_up": statistics.fmean(up or [0])}
