import contextlib
import io
import re

import pytest

from collabdm.cli.course import round_course
from collabdm.cli.progress import PlainLines, progress, say_reading
from collabdm.progress import Event


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_every_ten_seconds_and_at_the_end() -> None:
    lines: list[str] = []
    clock = _Clock()
    tell = PlainLines(lines.append, clock)
    for done in range(1, 26):
        clock.now = float(done)
        tell(Event(stage="distill", done=done, total=25, loss=1 / done))
    assert lines == [
        "distill: 11/25, loss 0.09091, 14 s left",
        "distill: 21/25, loss 0.04762, 4 s left",
        "distill: 25/25, loss 0.04",
    ]


def test_plain_lines_are_limited_per_stage_not_per_client() -> None:
    lines: list[str] = []
    clock = _Clock()
    tell = PlainLines(lines.append, clock)
    for done in (1, 2):
        for client in ("a", "b"):
            clock.now += 6
            tell(Event(stage="local", client=client, done=done, total=3))
    assert lines == ["local a: 2/3, 12 s left"]


def _shown(event: Event, *, quiet: bool) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream), progress(quiet=quiet) as report:
        report(event)
    return stream.getvalue()


def test_quiet_tells_refusals_only() -> None:
    refused = Event(stage="collect", done=1, total=2, message="refused a: got b")
    assert _shown(refused, quiet=True) == "refused a: got b\n"
    assert _shown(Event(stage="compare", done=1, total=2, message="collabdm"), quiet=True) == ""
    assert _shown(Event(stage="distill", done=2, total=2), quiet=True) == ""


def test_on_a_terminal_bars_show_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream), progress(quiet=False) as report:
        report(Event(stage="local", client="[b]x[/b]", done=1, total=4, loss=0.5))
        report(Event(stage="local", client="[b]y[/b]", done=4, total=4, loss=0.25))
        report(Event(stage="collect", done=1, total=1, message="refused [red]z[/red]"))
    text = stream.getvalue()
    assert "local [b]y[/b]" in text
    assert "loss 0.25" in text
    assert "refused [red]z[/red]" in text


def test_the_time_left_counts_from_the_stage_s_latest_beginning() -> None:
    lines: list[str] = []
    times = iter([0.0, 1000.0, 2000.0, 2010.0, 2020.0])
    tell = PlainLines(lines.append, clock=lambda: next(times))
    for done in (50, 100, 10, 20, 30):
        tell(Event(stage="evaluate", done=done, total=100))
    assert lines[-1] == "evaluate: 30/100, 70 s left"


def test_on_a_terminal_there_is_one_bar_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream), progress(quiet=False, course=round_course(2)) as report:
        report(Event(stage="statistics", client="north", done=2, total=2))
        report(Event(stage="local", client="north", done=5, total=10, loss=0.5))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    last = [line for line in shown.splitlines() if "%" in line][-1]
    # A half of what two clients sum up (20 parts), and a quarter of what they distil (50).
    assert " 22%" in last
    assert "local north" in last
    assert "5/10, loss 0.5" in last
    assert "statistics" not in last


def test_what_is_read_is_said_at_once_unless_nothing_is_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    say_reading("digits", quiet=False)
    say_reading("digits", quiet=True)
    assert capsys.readouterr() == ("", "reading digits ...\n")
