"""What a terminal is shown: results on standard output (one JSON value, or a few lines and a table), messages on
standard error. Names and texts may be a stranger's: `say` is the one place that writes them, and none of it controls
the terminal.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collabdm.errors import printable

__all__ = [
    "accuracy_text",
    "bytes_text",
    "dearer_text",
    "duration_text",
    "one_line",
    "print_facts",
    "print_json",
    "print_next",
    "print_table",
    "risen_text",
    "say",
    "screened_text",
    "topped_text",
]


def say(text: str = "", *, error: bool = False) -> None:
    """Lines of text, at once, on standard output or on standard error."""
    for line in text.split("\n"):
        print(printable(line), file=sys.stderr if error else sys.stdout, flush=True)


def print_json(value: object) -> None:
    """Exactly one JSON value, indented."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_facts(title: str, facts: Mapping[str, object]) -> None:
    """A title and one aligned line a fact; empty facts are left out."""
    say(title)
    shown = {name: value for name, value in facts.items() if value not in (None, "", [], (), {})}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        say(f"  {one_line(name):<{width}}  {_plain(value)}")


def print_next(who: str, *steps: str) -> None:
    """What comes next, and for whom: one line a step."""
    for step in steps:
        say(f"next, {who}: {one_line(step)}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Names to the left, numbers to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(header):
        table.add_column(Text(name), justify="right" if column else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(one_line(cell))) for cell in row))
    # Wider than any terminal, which then wraps lines; rich would cut them.
    Console(width=10_000).print(table, crop=False)


def one_line(text: str) -> str:
    """The text with every run of blanks, tabs and line breaks as one blank."""
    return " ".join(text.split())


def accuracy_text(mean: float, std: float, count: int | None = None) -> str:
    """In percent: `71.3 ± 0.8 %`; where `count` says that it is of one network, which has no deviation, `71.3 %`."""
    if count == 1:
        return f"{100 * mean:.1f} %"
    return f"{100 * mean:.1f} ± {100 * std:.1f} %"


def screened_text(left_out: Mapping[str, Mapping[str, int]] | None) -> dict[str, int]:
    """How many local samples of each client were kept out of the start set."""
    return {client: sum(reasons.values()) for client, reasons in (left_out or {}).items()}


def topped_text(topped_up: Mapping[str, int] | None) -> str:
    """How many samples the start set has beyond those that clients made of their own; empty where there are none."""
    if not topped_up:
        return ""
    named = [f"{count} of class {name}" for name, count in list(topped_up.items())[:12]]
    more = f" and {len(topped_up) - 12} more classes" if len(topped_up) > 12 else ""
    return f"{', '.join(named)}{more}, from those that came: the clients' sets fell short"


def risen_text(loss: Mapping[str, float] | None) -> str:
    """That refinement made a set worse by its own loss, and what helps; empty where it did not."""
    if not loss or loss["after"] <= loss["before"]:
        return ""
    return f"worse, {loss['before']:.3g} before refinement and {loss['after']:.3g} after: set server.lr lower"


def dearer_text(sent: float, raw: float, *, limited: bool = False) -> str:
    """That a client sends more bytes than its data have; empty where it does not. `limited`: by `--max-upload`."""
    if sent <= raw:
        return ""
    told = f"{bytes_text(sent)} sent, raw data {bytes_text(raw)}"
    helps = "a lower --max-upload" if limited else "--max-upload"
    return f"{told}: a round pays for itself with more data; {helps} makes a plan that sends less"


def bytes_text(count: float) -> str:
    """`512 B`, `3.4 kB`, `1.2 MB`: decimal units."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def duration_text(seconds: float) -> str:
    """`40 s`, `12 min`, `2.5 h`; a few hundred milliseconds are less than a second."""
    whole = round(seconds)
    if whole < 1:
        return "less than a second"
    return f"{whole} s" if whole < 100 else f"{round(whole / 60)} min" if whole < 6000 else f"{whole / 3600:.1f} h"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(str(name))} {_nested(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(map(_plain, value[:12]))
        return f"{shown}, ... ({len(value)} in all)" if len(value) > 12 else shown
    if isinstance(value, float):
        return f"{value:.4g}"
    return one_line(str(value))


def _nested(value: Any) -> str:
    return f"({_plain(value)})" if isinstance(value, Mapping) else _plain(value)
