"""One reception, over a fake grid or over Flower's own, and what it left."""

from collections.abc import Callable
from pathlib import Path

from collabdm.flower.gathering import gather
from collabdm.progress import Event
from collabdm.rounds.inbox import collect
from flower.conftest import FakeGrid, Simulated
from flower.forged import Exchange

DEADLINE = 100.0


class Gathered:
    """What one `gather` left."""

    def __init__(
        self, simulated: Simulated, folder: Path, fake: FakeGrid | Exchange, after: Callable[[], object] = lambda: None
    ) -> None:
        """`after`: what happens when it has waited for the first time."""
        events: list[Event] = []
        started = fake.now

        def sleep(seconds: float) -> None:
            fake.now += seconds
            after()

        self.refused = gather(
            fake.grid if isinstance(fake, Exchange) else fake,
            simulated.plan,
            folder,
            deadline=DEADLINE,
            report=events.append,
            clock=lambda: fake.now,
            sleep=sleep,
        )
        self.lines = [str(event.message) for event in events]
        self.took = fake.now - started
        self.stored = sorted(collect(simulated.plan, folder).contributions)
