"""Grids of small images with names beside them, enlarged pixel by pixel and never smoothed."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from collabdm.images.image_folder import image_of, png_of

__all__ = ["grid_picture", "preview_picture"]

_CELL = 64
_GAP = 4
_MARGIN = 16
_TEXT = 15
_LONGEST_LABEL = 28
_MOST_CLASSES = 50
_INK, _PALE, _PAPER = (32, 36, 43), (236, 238, 241), (255, 255, 255)


def preview_picture(pixels: np.ndarray, labels: np.ndarray, classes: Sequence[str], columns: int = 10) -> bytes:
    """PNG of the first `columns` images (uint8 [n, C, H, W]) of each class, a class a row, names on the left.

    Beyond fifty classes the first fifty are shown, and a last line says how many there are.
    """
    shown = range(min(len(classes), _MOST_CLASSES))
    rows = [(classes[label], [list(pixels[labels == label][:columns])]) for label in shown]
    footer = "" if len(shown) == len(classes) else f"{len(shown)} of {len(classes)} classes"
    return grid_picture(rows, (), footer)


def grid_picture(
    rows: Sequence[tuple[str, Sequence[Sequence[np.ndarray | None]]]], header: Sequence[str], footer: str = ""
) -> bytes:
    """PNG of named rows; a row is one or more lines of uint8 [C, H, W] images, None leaving a pale gap."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _TEXT)
    names = [_short(name) for name, _ in rows]
    images = [image for _, lines in rows for line in lines for image in line if image is not None]
    side = max((max(image.shape[1:]) for image in images), default=1)
    scale = max(_CELL // side, 1)
    cell = side * scale
    columns = max(len(line) for _, lines in rows for line in lines)
    titles = [_fitting(title, font, cell + _GAP - 2) for title in header]
    left = _MARGIN + int(max(map(font.getlength, names))) + _MARGIN
    top = _MARGIN + (_TEXT + 8 if titles else 0)
    group_gap = 3 * _GAP if any(len(lines) > 1 for _, lines in rows) else _GAP
    heights = [len(lines) * (cell + _GAP) - _GAP for _, lines in rows]
    height = top + sum(heights) + group_gap * (len(rows) - 1) + _MARGIN + (_TEXT + 8 if footer else 0)
    width = max(left + columns * (cell + _GAP) - _GAP, int(font.getlength(footer)) + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((left + column * (cell + _GAP) + cell / 2, _MARGIN + 6), title, _INK, font, anchor="mm")
    y = top
    for name, (_, lines), block in zip(names, rows, heights, strict=True):
        draw.text((left - _MARGIN, y + block / 2), name, _INK, font, anchor="rm")
        for number, line in enumerate(lines):
            for column in range(columns):
                image = line[column] if column < len(line) else None
                _place(sheet, draw, image, left + column * (cell + _GAP), y + number * (cell + _GAP), cell, scale)
        y += block + group_gap
    if footer:
        draw.text((_MARGIN, height - _MARGIN), footer, _INK, font, anchor="ls")
    return png_of(sheet)


def _place(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    pixels: np.ndarray | None,
    x: int,
    y: int,
    cell: int,
    scale: int,
) -> None:
    if pixels is None:
        draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=_PALE)
        return
    image = image_of(pixels)
    sheet.paste(image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST), (x, y))


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…"


def _fitting(title: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    line = " ".join(title.split())
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
