"""How far a whole command is, told from its stages: one number for one bar."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collabdm.progress import Event

__all__ = ["ANSWER", "Course", "Way", "round_course"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a command goes through: each stage's share of the time, and how many `clients` do those of a client."""

    shares: Mapping[str, float]
    clients: int = 1


# As they were on digits, which is about right elsewhere: a bar need not be more.
_CLIENT = {"statistics": 20.0, "local": 50.0}
ANSWER = Course(shares=_CLIENT)


def round_course(clients: int) -> Course:
    """A whole round in one process, and its judgement."""
    return Course(shares={**_CLIENT, "distill": 12.0, "evaluate": 18.0}, clients=clients)


@dataclass
class Way:
    """The way along a course; it never goes back, though a stage may begin anew."""

    course: Course
    _done: dict[str, dict[str | None, float]] = field(default_factory=dict)

    def after(self, event: Event) -> float:
        """The share of the whole that is done after the event, in [0, 1]; stages off the course change nothing."""
        stage, share = self._done.setdefault(event.stage, {}), event.done / max(event.total, 1)
        stage[event.client] = max(stage.get(event.client, 0.0), min(share, 1.0))
        whole = sum(self.course.shares.values())
        return sum(self.course.shares[name] * self._of(name) for name in self.course.shares) / whole

    def _of(self, name: str) -> float:
        found = self._done.get(name, {})
        parties = 1 if None in found or not found else self.course.clients
        return min(sum(found.values()) / parties, 1.0)
