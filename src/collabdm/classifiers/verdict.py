"""What a detector says: a verdict for every window of flows, or for every flow, and whether that is an alarm."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Policy", "Verdict", "summary", "verdict_line"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When windows are an alarm: `min_windows` of them, each with an attack probability of at least `threshold`.

    A window that was padded counts only with at least `min_flows` flows of its own: one failed connection, repeated to
    a whole window, looks like a scan.
    """

    threshold: float
    min_windows: int
    min_flows: int

    def flags(self, verdict: "Verdict") -> bool:
        """Whether this window counts towards an alarm."""
        enough = not verdict.padded or verdict.flows >= self.min_flows
        return enough and verdict.attack_probability >= self.threshold

    def alarm(self, flagged: int) -> bool:
        """Whether so many flagged windows are an alarm."""
        return flagged >= self.min_windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """One window of `flows` flows and `padded` repeated ones, and its probabilities, one a class. A row is one flow.

    Lines are those of the file `source`, times those of the window's first and last flow in seconds since 1970, where
    the flows have them.
    """

    source: str
    first_line: int
    last_line: int
    first_time: float | None
    last_time: float | None
    host: str | None
    flows: int
    padded: int
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    benign: int

    @property
    def verdict(self) -> str:
        """The most probable class."""
        return self.classes[int(np.argmax(self.probabilities))]

    @property
    def attack_probability(self) -> float:
        """The probability of all classes but the benign one together."""
        return max(0.0, 1.0 - self.probabilities[self.benign])


def verdict_line(verdict: Verdict, *, flagged: bool, model: str) -> dict[str, Any]:
    """A verdict as one flat JSON object for a SIEM; `model` is the classifier's digest."""
    return {
        "source": verdict.source,
        "first_line": verdict.first_line,
        "last_line": verdict.last_line,
        "first_time": verdict.first_time,
        "last_time": verdict.last_time,
        "host": verdict.host,
        "flows": verdict.flows,
        "padded": verdict.padded,
        "verdict": verdict.verdict,
        "probability": round(max(verdict.probabilities), 6),
        "attack_probability": round(verdict.attack_probability, 6),
        "probabilities": {y: round(p, 6) for y, p in zip(verdict.classes, verdict.probabilities, strict=True)},
        "flagged": flagged,
        "model": model,
    }


def summary(found: Sequence[Verdict], policy: Policy, classes: Sequence[str]) -> dict[str, Any]:
    """Counts per class over all windows, and whether they are an alarm, as plain JSON."""
    flagged = sum(map(policy.flags, found))
    per_class = {}
    for y, name in enumerate(classes):
        chosen = [one for one in found if one.verdict == name]
        per_class[name] = {
            "windows": len(chosen),
            "flagged": sum(map(policy.flags, chosen)),
            "flows": sum(one.flows for one in chosen),
            "mean_probability": float(np.mean([one.probabilities[y] for one in chosen])) if chosen else None,
        }
    return {
        "alarm": policy.alarm(flagged),
        "windows": len(found),
        "flagged": flagged,
        "padded": sum(one.padded > 0 for one in found),
        "flows": sum(one.flows for one in found),
        "per_class": per_class,
    }
