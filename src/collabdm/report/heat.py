"""Tables whose cells are shaded by their value: who holds what, and which class is taken for which."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from collabdm.report.wording import count_text, share

__all__ = ["Heat", "HeatCell", "confusion_heat", "partition_heat", "share_heat", "taken_for"]

_MOST_NUMBERED = 25
_INK = (58, 124, 196)


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """A text, and how dark its ground is: 0 to 100."""

    text: str
    strength: int


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Named rows and columns; with more than can be read as numbers, `picture` (a data URI) instead of cells."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[HeatCell, ...], ...] = ()
    picture: str = ""


def partition_heat(samples: np.ndarray, clients: Sequence[str], classes: Sequence[str]) -> Heat:
    """Samples held, int [clients, classes]; shaded by the square root, so that the few stay visible beside the many."""
    shade = np.sqrt(samples / max(int(samples.max(initial=0)), 1))
    return _heat(shade, [[count_text(value) if value else "" for value in row] for row in samples], clients, classes)


def confusion_heat(counts: np.ndarray, classes: Sequence[str]) -> Heat:
    """Share of each class (row) that was answered with each class (column), from counts [classes, classes]."""
    shares = _shares(counts)
    texts = [[f"{100 * value:.0f}" if value >= 0.005 else "" for value in row] for row in shares]
    return _heat(np.sqrt(shares), texts, classes, classes)


def share_heat(values: Sequence[Sequence[float | None]], rows: Sequence[str], columns: Sequence[str]) -> Heat:
    """Numbers in [0, 1] in percent, None as nothing."""
    shade = np.array([[0.0 if value is None else value for value in row] for row in values])
    texts = [["" if value is None else f"{100 * value:.0f}" for value in row] for row in values]
    return _heat(shade, texts, rows, columns)


def taken_for(counts: np.ndarray, classes: Sequence[str], most: int = 5) -> list[tuple[str, str, str]]:
    """The commonest mistakes: class, what it was taken for, and the share of the class."""
    shares = _shares(counts)
    np.fill_diagonal(shares, 0)
    flat = shares.ravel()
    found = []
    for place in np.argsort(-flat, kind="stable")[:most].tolist():
        held, answer = divmod(place, len(classes))
        if flat[place] > 0:
            found.append((classes[held], classes[answer], share(float(flat[place]), 0)))
    return found


def _shares(counts: np.ndarray) -> np.ndarray:
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def _heat(shade: np.ndarray, texts: Sequence[Sequence[str]], rows: Sequence[str], columns: Sequence[str]) -> Heat:
    if max(shade.shape) > _MOST_NUMBERED:
        return Heat(rows=tuple(rows), columns=tuple(columns), picture=_picture(shade))
    cells = tuple(
        tuple(HeatCell(text=text, strength=math.ceil(100 * value)) for text, value in zip(line, values, strict=True))
        for line, values in zip(texts, shade, strict=True)
    )
    return Heat(rows=tuple(rows), columns=tuple(columns), cells=cells)


def _picture(shade: np.ndarray) -> str:
    """One pixel a cell, its value being its opacity: it fits a light page and a dark one."""
    pixels = np.empty((*shade.shape, 4), np.uint8)
    pixels[..., :3] = _INK
    pixels[..., 3] = np.round(255 * shade)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
