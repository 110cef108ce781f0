"""What long work says while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Event", "Report", "silent"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """`done` of `total` units of a stage; `client`, `loss` and `message` where there is one."""

    stage: str
    done: int
    total: int
    client: str | None = None
    loss: float | None = None
    message: str | None = None


Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Say nothing."""
