"""Geometry of charts: where lines, dots and ticks lie, in percent of the plot. The template draws it.

A plot is stretched to the width it has; text stands beside it as text, so it stays legible on a phone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from collabdm.report.wording import short_number

__all__ = ["Axis", "Chart", "Drawn", "Label", "Series", "Tick", "line_chart"]

Look = Literal["line", "faint", "dashed", "dots", "hollow"]
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_POINTS = 1500
_LABEL_WIDTH, _LABEL_HEIGHT = 35.0, 8.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line or group of dots: finite (x, y), and how far each may be off in y."""

    name: str
    points: Sequence[tuple[float, float]]
    look: Look = "line"
    colour: int = 0
    spread: Sequence[float] = ()
    labels: Sequence[str] = ()
    """Text beside each point, where there is any."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A value's place, 0 to 100, and its text."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A range of values on a straight or logarithmic scale."""

    low: float
    high: float
    log: bool = False
    text: Callable[[float], str] = short_number

    def place(self, value: float) -> float:
        """0 (low) to 100 (high)."""
        if self.log:
            return 100 * math.log(value / self.low) / math.log(self.high / self.low)
        return 100 * (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> tuple[Tick, ...]:
        """Round values, at most `most` of them where the scale is straight."""
        values = _decades(self.low, self.high, most) if self.log else _round_values(self.low, self.high, most)
        return tuple(Tick(at=round(self.place(value), 2), text=self.text(value)) for value in values)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A series as paths in a 100 x 100 box whose y grows downwards."""

    name: str
    look: Look
    colour: int
    path: str
    bars: str


@dataclass(frozen=True, kw_only=True)
class Label:
    """Text at a point, 0 to 100 from the left and the top."""

    left: float
    top: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Everything that the template needs; `summary` says in words what there is to see."""

    summary: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Drawn, ...]
    labels: tuple[Label, ...]


def line_chart(
    series: Sequence[Series],
    *,
    summary: str,
    x_label: str,
    y_label: str,
    x_text: Callable[[float], str] = short_number,
    y_text: Callable[[float], str] = short_number,
    log_x: bool = False,
    log_y: bool = False,
) -> Chart:
    """A chart of at least one point; on a logarithmic scale every value must be above 0."""
    across = [x for one in series for x, _ in one.points]
    offs = [
        (y, off)
        for one in series
        for (_, y), off in zip(one.points, one.spread or [0.0] * len(one.points), strict=True)
    ]
    upright = [edge for y, off in offs for edge in (y - off, y + off) if edge > 0 or not log_y]
    # Lines may touch the sides, dots should not.
    dotted = any(one.look in ("dots", "hollow") for one in series)
    x_axis = _axis(across, x_text, log=log_x, room=0.03 if dotted else 0.0)
    y_axis = _axis(upright, y_text, log=log_y, room=0.06)
    return Chart(
        summary=summary,
        x_label=x_label,
        y_label=y_label,
        x_ticks=x_axis.ticks(6),
        y_ticks=y_axis.ticks(5),
        series=tuple(_drawn(one, x_axis, y_axis) for one in series),
        labels=_apart(
            (x_axis.place(x), 100 - y_axis.place(y), text)
            for one in series
            for (x, y), text in zip(one.points, one.labels, strict=False)
        ),
    )


def _apart(labels: Iterable[tuple[float, float, str]]) -> tuple[Label, ...]:
    """Labels beside their points, moved down where two would lie on one another."""
    placed: list[Label] = []
    for left, top, text in sorted(labels, key=lambda label: label[1]):
        near = [one.top for one in placed if abs(one.left - left) < _LABEL_WIDTH]
        down = max([top, *(other + _LABEL_HEIGHT for other in near)])
        placed.append(Label(left=_short(left), top=_short(down), text=text))
    return tuple(placed)


def _axis(values: Sequence[float], text: Callable[[float], str], *, log: bool, room: float) -> Axis:
    low, high = min(values), max(values)
    if log:
        factor = max((high / low) ** room, 1.1 if low == high else 1.0)
        return Axis(low=low / factor, high=high * factor, log=True, text=text)
    if low == high:
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    off = room * (high - low)
    bottom = low - off
    # Nothing below zero is drawn for what cannot be.
    return Axis(low=bottom if low < 0 else max(bottom, 0.0), high=high + off, text=text)


def _drawn(one: Series, x_axis: Axis, y_axis: Axis) -> Drawn:
    stride = math.ceil(len(one.points) / _MOST_POINTS) or 1
    kept = [*one.points[::stride], one.points[-1]] if stride > 1 else list(one.points)
    places = [(_short(x_axis.place(x)), _short(100 - y_axis.place(y))) for x, y in kept]
    if one.look in ("dots", "hollow"):
        # A line of no length with round ends is a dot that stretching leaves round.
        path = "".join(f"M{x} {y}h0" for x, y in places)
    else:
        path = "M" + "L".join(f"{x} {y}" for x, y in places)
    bars = ""
    for (x, y), off in zip(one.points, one.spread, strict=False):
        bottom = max(y - off, y_axis.low) if y_axis.log else y - off
        low, high = (_short(100 - y_axis.place(edge)) for edge in (bottom, y + off))
        bars += f"M{_short(x_axis.place(x))} {low}V{high}" if off else ""
    return Drawn(name=one.name, look=one.look, colour=one.colour, path=path, bars=bars)


def _round_values(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / max(most, 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in _STEPS if size * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [f * 10.0**power for power in range(first, last + 1) for f in factors]
        inside = [value for value in values if low <= value <= high]
        if len(inside) <= most:
            break
    else:
        inside = inside[:: math.ceil(len(inside) / most)]
    return inside if len(inside) > 1 else [low, high]


def _short(value: float) -> float:
    return round(value, 2)
