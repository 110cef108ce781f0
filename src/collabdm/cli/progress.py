"""Progress on standard error: live bars on a terminal, a line now and then elsewhere, nothing when quiet."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from collabdm.cli.output import one_line, say
from collabdm.errors import printable
from collabdm.progress import Event, Report

__all__ = ["PlainLines", "progress"]

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(*, quiet: bool) -> Iterator[Report]:
    """A `Report` that shows what goes on until the block ends. Refused contributions are always told."""
    console = Console(stderr=True)
    if quiet:
        yield lambda event: _write(event.message) if _refusal(event) and event.message else None
    elif console.is_interactive:
        with _bars(console) as bars:
            yield _Live(bars)
    else:
        yield PlainLines(_write)


@dataclass
class PlainLines:
    """One line at most every ten seconds per stage, one when a client's share of a stage is done, one per message."""

    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _begun: dict[tuple[str, str | None], tuple[float, int]] = field(default_factory=dict)
    _last: dict[tuple[str, str | None], int] = field(default_factory=dict)
    _told: dict[str, float] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Tell an event, or let it pass."""
        if event.message:
            self.write(event.message if _refusal(event) else f"{event.stage}: {event.message}")
            return
        now, key = self.clock(), (event.stage, event.client)
        if event.done < self._last.get(key, event.done + 1):
            self._begun[key] = now, event.done  # The stage begins, or begins anew with the next method.
        self._last[key] = event.done
        begun, first = self._begun[key]
        complete = event.done >= event.total
        if not complete and now - self._told.setdefault(event.stage, now) < SECONDS_BETWEEN_LINES:
            return
        self._told[event.stage] = now
        client = f" {event.client}" if event.client is not None else ""
        loss = f", loss {event.loss:.4g}" if event.loss is not None else ""
        left = ""
        if not complete and event.done > first:
            left = f", {_duration((now - begun) / (event.done - first) * (event.total - event.done))} left"
        self.write(f"{event.stage}{client}: {event.done}/{event.total}{loss}{left}")


class _Live:
    """One bar per stage, begun anew with every client."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, str | None]] = {}

    def __call__(self, event: Event) -> None:
        if event.message:
            self._bars.console.print(Text(printable(one_line(event.message))), soft_wrap=True)
            return
        named = event.stage + (f" {printable(event.client)}" if event.client is not None else "")
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._bars.add_task(named, total=event.total, detail=""), event.client
        task, client = self._tasks[event.stage]
        if client != event.client:
            self._bars.reset(task, total=event.total, description=named)
            self._tasks[event.stage] = task, event.client
        detail = f"loss {event.loss:.4g}" if event.loss is not None else ""
        self._bars.update(task, completed=event.done, total=event.total, detail=detail)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeRemainingColumn(),
        console=console,
    )


def _refusal(event: Event) -> bool:
    return event.stage == "collect" and event.message is not None


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min" if whole < 6000 else f"{whole / 3600:.1f} h"


def _write(line: str) -> None:
    say(one_line(line), error=True)
