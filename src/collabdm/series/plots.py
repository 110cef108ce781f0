"""Pictures of series for people: a plot per class, and small ones for pages that show many samples."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

__all__ = ["preview_picture", "small_pictures"]

_SIDE, _DRAWN = 64, 4

# With more channels than this, lines hide one another: a heat map instead, a row per channel.
_MOST_LINES = 6
_COLOURS = ("#1f5fa8", "#c8553d", "#2e8b57", "#8a5fb0", "#b8860b", "#5b6470")
_MOST_CLASSES, _ACROSS = 50, 4
_LONGEST_LABEL = 28

# The share of values at either end that a picture leaves out of its range.
_TAIL = 0.005


def small_pictures(series: np.ndarray) -> np.ndarray:
    """Of float32 [n, C, L] uint8 [n, 3, 64, 64], all on one scale."""
    low, high = _range(series)
    draw = _heat if series.shape[1] > _MOST_LINES else _lines
    pictures = [draw((one - low) / (high - low)) for one in series]
    return np.stack(pictures) if pictures else np.zeros((0, 3, _SIDE, _SIDE), np.uint8)


def preview_picture(series: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> bytes:
    """PNG of a plot per class, of up to six lines: those of its first series, a colour a channel, or of many channels a
    heat map of the first. Beyond fifty classes the first fifty are shown."""
    shown = min(len(classes), _MOST_CLASSES)
    across = min(shown, _ACROSS)
    down = -(-shown // across)
    figure = Figure(figsize=(3.0 * across, 1.9 * down + 0.4), dpi=80, layout="constrained")
    limits, of_class = _range(series), max(_MOST_LINES // series.shape[1], 1)
    for place, name in enumerate(classes[:shown]):
        axes = figure.add_subplot(down, across, place + 1)
        _plot(axes, series[labels == place][:of_class], limits)
        line = " ".join(name.split())
        line = line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…"
        axes.set_title(line, loc="left", fontsize=9, parse_math=False)
        axes.tick_params(labelsize=7)
    if shown < len(classes):
        figure.supxlabel(f"{shown} of {len(classes)} classes", fontsize=9)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is shown as boxes, and is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _plot(axes, series: np.ndarray, limits: tuple[float, float]) -> None:
    if series.shape[1] > _MOST_LINES:
        if len(series):
            low, high = limits
            axes.imshow(series[0], aspect="auto", origin="lower", cmap="magma", vmin=low, vmax=high)
        return
    for number, one in enumerate(series):
        for channel, line in enumerate(one):
            colour = _COLOURS[channel % len(_COLOURS)]
            axes.plot(line, color=colour, linewidth=1.1, alpha=1.0 if number == 0 else 0.45)
    axes.set_ylim(*limits)
    axes.spines[["top", "right"]].set_visible(False)


def _range(series: np.ndarray) -> tuple[float, float]:
    if not series.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.quantile(series, [_TAIL, 1 - _TAIL]))
    room = max(0.05 * (high - low), 1e-3)
    return low - room, high + room


def _lines(one: np.ndarray) -> np.ndarray:
    side = _SIDE * _DRAWN
    sheet = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(sheet)
    across = np.linspace(0, side - 1, one.shape[1]) if one.shape[1] > 1 else np.array([side / 2])
    for channel, line in enumerate(one):
        down = (1 - np.clip(line, 0, 1)) * (side - 1)
        points = list(zip(across.tolist(), down.tolist(), strict=True))
        points = points if len(points) > 1 else [(0.0, points[0][1]), (side - 1.0, points[0][1])]
        draw.line(points, fill=_COLOURS[channel % len(_COLOURS)], width=_DRAWN)
    small = sheet.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small).transpose(2, 0, 1)


def _heat(one: np.ndarray) -> np.ndarray:
    levels = np.rint(255 * np.clip(one[::-1], 0, 1)).astype(np.uint8)
    grey = Image.fromarray(levels).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(grey)[None], 3, axis=0)
