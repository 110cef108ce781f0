"""A picture of synthetic rows: of every column, how often each part of its declared range, or each level, comes."""

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from collabdm.data.tabular.column import Column

__all__ = ["histogram_picture"]

_MOST_COLUMNS, _ACROSS = 30, 5
_BINS, _MOST_LEVELS, _LONGEST = 24, 12, 22
_MOST_CLASSES = 10


def histogram_picture(
    columns: Sequence[Column], values: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> bytes:
    """PNG with a panel for each of the first thirty columns; bars are stacked by class, up to ten of them.

    `values`: stored rows [n, columns]. Numbers lie over the declared range, so that an empty end shows too.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = columns[:_MOST_COLUMNS]
    across = min(_ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(3.0 * across, 2.1 * down + 0.6), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
    stacked = len(classes) <= _MOST_CLASSES
    groups = [labels == y for y in range(len(classes))] if stacked else [np.ones(len(labels), dtype=bool)]
    for place, (panel, column) in enumerate(zip(panels, shown, strict=False)):
        _draw(panel, column, [values[group, place] for group in groups])
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    if stacked and len(classes) > 1:
        figure.legend(
            [_plain(name) for name in classes], loc="outside lower center", ncols=min(len(classes), 5), fontsize=8
        )
    if len(shown) < len(columns):
        figure.suptitle(f"the first {len(shown)} of {len(columns)} columns", fontsize=9)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Of a script or an emoji that the font lacks: it shows a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(panel: Any, column: Column, groups: list[np.ndarray]) -> None:
    missing = sum(int(np.isnan(own).sum()) for own in groups)
    panel.set_title(_plain(column.name) + (f" ({missing} missing)" if missing else ""), fontsize=8)
    panel.tick_params(labelsize=7)
    if column.kind == "categorical":
        levels = column.levels[:_MOST_LEVELS]
        below = np.zeros(len(levels))
        for own in groups:
            heights = np.array([(own == place).sum() for place in range(len(levels))])
            panel.bar(range(len(levels)), heights, bottom=below)
            below += heights
        panel.set_xticks(range(len(levels)), [_plain(level)[:10] for level in levels], rotation=60, fontsize=6)
        return
    low, high = column.range
    if column.transform == "asinh":
        # On its own scale, and no further than the values go where the range is open.
        scale = column.scale or 1.0
        if column.low is None:
            most = max((float(np.nanmax(np.abs(own), initial=scale)) for own in groups), default=scale)
            low, high = -most, most
        edges = np.sinh(np.linspace(np.arcsinh(low / scale), np.arcsinh(high / scale), _BINS + 1)) * scale
        panel.set_xscale("symlog", linthresh=scale)
    else:
        edges = np.linspace(low, high, _BINS + 1)
    panel.hist([own[~np.isnan(own)] for own in groups], bins=edges, stacked=True, histtype="stepfilled")


def _plain(text: str) -> str:
    """Short, and without what matplotlib would take for a formula."""
    line = " ".join(text.split()).replace("$", r"\$")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
