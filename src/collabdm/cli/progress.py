"""Progress on standard error: live bars on a terminal, a line now and then elsewhere, nothing when quiet."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from collabdm.cli.course import Course, Way
from collabdm.cli.output import one_line, say
from collabdm.errors import printable
from collabdm.progress import Event, Report

__all__ = ["PlainLines", "progress", "say_reading"]

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(*, quiet: bool, course: Course | None = None) -> Iterator[Report]:
    """A `Report` that shows what goes on until the block ends. Refused contributions are always told.

    `course`: what the command goes through, where that is known, for one bar of the whole.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda event: _write(event.message) if _refusal(event) and event.message else None
    elif console.is_interactive:
        with _bars(console) as bars:
            yield _Live(bars, course)
    else:
        yield PlainLines(_write)


def say_reading(source: str, *, quiet: bool) -> None:
    """That data are read: the first thing that is seen, before anything is loaded that takes seconds."""
    if not quiet:
        say(f"reading {one_line(source)} ...", error=True)


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
    """One bar, with the stage and the client that is at work: for the whole where its course is known, else for the
    stage, begun anew with every stage and client."""

    def __init__(self, bars: Progress, course: Course | None) -> None:
        self._bars, self._way = bars, Way(course) if course is not None else None
        self._task: TaskID | None = None
        self._at: tuple[str, str | None] | None = None

    def __call__(self, event: Event) -> None:
        if event.message:
            self._bars.console.print(Text(printable(one_line(event.message))), soft_wrap=True)
            return
        named = event.stage + (f" {printable(event.client)}" if event.client is not None else "")
        detail = f"{event.done}/{event.total}" + (f", loss {event.loss:.4g}" if event.loss is not None else "")
        done, total = (event.done, event.total) if self._way is None else (self._way.after(event), 1.0)
        if self._task is None:
            self._task = self._bars.add_task(named, total=total, detail=detail)
        elif self._way is None and self._at != (event.stage, event.client):
            self._bars.reset(self._task, total=total)
        self._at = event.stage, event.client
        self._bars.update(self._task, description=named, completed=done, total=total, detail=detail)


def _bars(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[detail]}", markup=False),
        console=console,
    )


def _refusal(event: Event) -> bool:
    return event.stage == "collect" and event.message is not None


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min" if whole < 6000 else f"{whole / 3600:.1f} h"


def _write(line: str) -> None:
    say(one_line(line), error=True)
