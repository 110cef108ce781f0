"""When a reception closes, by a clock that never steps: setting a server's clock neither ends nor prolongs a round.

A server that is started again goes on to the same moment. The clock counts from the machine's start; after another
start only the time of day is left to go by, and it can shorten the wait, but never make it longer than was asked for.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["begun", "end_of"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def begun(seconds: float | None, clock: Callable[[], float]) -> dict[str, Any]:
    """What `reception.json` says of a wait of so many seconds that begins now; None: no wait.

    `closes` is the time of day, in seconds since 1970; `monotonic` the moment by `clock`, which counts from `boot`.
    """
    if seconds is None:
        return {"closes": None}
    return {"closes": time.time() + seconds, "seconds": seconds, "monotonic": clock() + seconds, "boot": _boot()}


def end_of(state: Mapping[str, Any], clock: Callable[[], float]) -> float | None:
    """The moment by `clock` at which a wait that `begun` described is over, however often it was interrupted."""
    closes = state["closes"]
    if closes is None:
        return None
    if state.get("boot") and state["boot"] == _boot():
        return state["monotonic"]
    # Version 0.1 knew the time of day alone.
    return clock() + min(max(closes - time.time(), 0.0), state.get("seconds", math.inf))


def _boot() -> str:
    """Which start of the machine this is; empty where that is not known."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
