"""Pictures of a run: who holds what, how the loss fell, and the sets of several methods side by side.

Each function returns PNG bytes, drawn without any global plotting state.
"""

import io
import math
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from collabdm.distilled.set import DistilledSet
from collabdm.errors import ConfigError, explain
from collabdm.images.preview import grid_picture

__all__ = ["comparison_picture", "loss_picture", "partition_picture"]

_MOST_NUMBERED_CELLS = 400
_MOST_LINES = 2
_INK, _FAINT = "#20242b", "#c9ced6"
_BLUE, _PALE_BLUE = "#1f5fa8", "#a9c6e8"


def partition_picture(counts: np.ndarray, client_names: Sequence[str], class_names: Sequence[str]) -> bytes:
    """Heat map of samples held, int [clients, classes], with the numbers as long as they are legible."""
    clients, classes = counts.shape
    numbered = counts.size <= _MOST_NUMBERED_CELLS and clients <= 25
    cell_width, cell_height = (0.62, 0.42) if numbered else (max(0.14, min(0.5, 10 / classes)), min(0.21, 12 / clients))
    figure = _figure(2.6 + max(classes * cell_width, 2.5), 1.7 + max(clients * cell_height, 0.8))
    axes = figure.add_subplot()
    # A square-root scale: the few samples of a skewed split stay visible beside the many.
    norm = PowerNorm(0.5, vmin=0, vmax=max(int(counts.max(initial=0)), 1))
    image = axes.imshow(counts, cmap="Blues", aspect="auto", norm=norm)
    axes.set_xticks(*_ticks(class_names, 40), rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(*_ticks(client_names, 60), parse_math=False)
    axes.set_xlabel("class")
    axes.set_ylabel("client")
    axes.set_title("Samples held by each client", loc="left", fontsize=11)
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(clients + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2 if numbered else 0.6)
    axes.tick_params(which="both", length=0, labelsize=8.5 if clients <= 25 else 7)
    axes.spines[:].set_visible(False)
    if numbered:
        for (row, column), count in np.ndenumerate(counts):
            dark = norm(count) > 0.6
            colour = "white" if dark else _INK if count else _FAINT
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    else:
        bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.ax.tick_params(labelsize=8, length=0)
    return _png(figure)


def loss_picture(losses: Sequence[float]) -> bytes:
    """The loss at every server step, with a running mean over many; logarithmic over a wide range."""
    values = np.asarray(losses, dtype=np.float64)
    figure = _figure(7.0, 3.6)
    axes = figure.add_subplot()
    window = max(len(values) // 40, 1)
    steps = np.arange(1, len(values) + 1)
    if not len(values):
        axes.text(0.5, 0.5, "no steps were taken", ha="center", va="center", transform=axes.transAxes, color=_INK)
    elif window == 1:
        axes.plot(steps, values, color=_BLUE, linewidth=1.6, marker="o" if len(values) == 1 else None)
    else:
        axes.plot(steps, values, color=_PALE_BLUE, linewidth=0.8, label="each step")
        smooth = np.convolve(values, np.full(window, 1 / window), mode="valid")
        axes.plot(steps[window - 1 :], smooth, color=_BLUE, linewidth=1.8, label=f"mean of {window} steps")
        axes.legend(frameon=False, fontsize=9)
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 5 * finite.min():
        axes.set_yscale("log")
    axes.set_xlabel("server step")
    axes.set_ylabel("loss")
    axes.set_title("Matching loss", loc="left", fontsize=11)
    axes.grid(color="#e6e9ed", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def comparison_picture(rows: Sequence[tuple[str, DistilledSet]]) -> bytes | None:
    """One block a method and one column a class, with up to two images of each class, tiles unfolded; None where such
    samples are not drawn.

    Raises `ConfigError` when there is nothing to draw or the sets have different classes.
    """
    if not rows or len({chosen.classes for _, chosen in rows}) != 1:
        raise ConfigError(
            explain(
                "sets to compare",
                got=f"{len(rows)} sets with {len({chosen.classes for _, chosen in rows})} lists of classes",
                expected="at least one set, all with the same classes",
                fix="compare sets distilled from the same data",
            )
        )
    unfolded = [(name, chosen.expanded()) for name, chosen in rows]
    drawn = [(name, full, pictures) for name, full in unfolded if (pictures := full.pictures()) is not None]
    if not drawn:
        return None
    return grid_picture([(name, _lines(pictures, chosen)) for name, chosen, pictures in drawn], rows[0][1].classes)


def _lines(pixels: np.ndarray, chosen: DistilledSet) -> list[list[np.ndarray | None]]:
    labels = chosen.labels.numpy()
    per_class = [pixels[labels == label] for label in range(len(chosen.classes))]
    lines = min(max(map(len, per_class)), _MOST_LINES)
    return [[images[line] if line < len(images) else None for images in per_class] for line in range(lines)]


def _ticks(names: Sequence[str], most: int) -> tuple[list[int], list[str]]:
    """Positions and names, every second, third... only where there are more than fit."""
    step = math.ceil(len(names) / most) or 1
    places = list(range(0, len(names), step))
    return places, [names[place] if len(names[place]) <= 18 else names[place][:17] + "…" for place in places]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=120, facecolor="white", layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Of a script or an emoji that the font lacks: it shows a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
