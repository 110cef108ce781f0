"""Images of sets, a line a class, each image a PNG inside the page at its own size; the page enlarges them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collabdm.distilled.set import DistilledSet
from collabdm.images.image_folder import image_of, png_of
from collabdm.images.modality import Images

__all__ = ["Gallery", "Line", "gallery"]

_MOST_IMAGES = 240
_MOST_OF_CLASS = 10
_MOST_CLASSES = 40


@dataclass(frozen=True, kw_only=True)
class Line:
    """One class: for each set the first of its images, as data URIs."""

    name: str
    images: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Lines of as many classes as fit a page, under the sets' titles; `note` says what is left out."""

    titles: tuple[str, ...]
    lines: tuple[Line, ...]
    note: str


def gallery(sets: Sequence[tuple[str, DistilledSet]], *, of_class: int = _MOST_OF_CLASS) -> Gallery | None:
    """Titled sets that have the classes of the first (others are passed over), their tiles unfolded; None where there
    is nothing to draw."""
    unfolded = [(title, chosen.expanded()) for title, chosen in sets]
    drawn = [(title, full, pictures) for title, full in unfolded if (pictures := full.pictures()) is not None]
    if not drawn:
        return None
    classes = drawn[0][1].classes
    alike = [(title, chosen, pictures) for title, chosen, pictures in drawn if chosen.classes == classes]
    shown = min(len(classes), _MOST_CLASSES)
    of_class = max(min(of_class, _MOST_IMAGES // (shown * len(alike))), 1)
    columns = [_by_class(pictures, chosen.labels.numpy(), shown, of_class) for _, chosen, pictures in alike]
    lines = tuple(Line(name=classes[y], images=tuple(column[y] for column in columns)) for y in range(shown))
    most = max(int(chosen.counts().max()) for _, chosen, _ in alike)
    plural = alike[0][1].sample.plural
    notes = [f"The first {of_class} of up to {most} {plural} of each class."] if most > of_class else []
    notes += [f"The first {shown} of {len(classes)} classes."] if shown < len(classes) else []
    tiles = max(chosen.tiles for _, chosen in sets)
    if any(_is_stretched(chosen) for _, chosen, _ in alike):
        notes.append("Distilled pixels go beyond black and white: they are rescaled, each set by itself, to be seen.")
    if tiles > 1:
        notes.append(f"Stored images are grids of {tiles} x {tiles} tiles, shown as the {plural} that these unfold to.")
    return Gallery(titles=tuple(title for title, _, _ in alike), lines=lines, note=" ".join(notes))


def _is_stretched(chosen: DistilledSet) -> bool:
    """Whether its pictures show another range of pixels than [0, 1]."""
    return isinstance(chosen.sample, Images) and not chosen.sample.range_of(chosen.samples).ordinary


def _by_class(pixels: np.ndarray, labels: np.ndarray, classes: int, of_class: int) -> list[tuple[str, ...]]:
    return [tuple(_uri(image) for image in pixels[labels == y][:of_class]) for y in range(classes)]


def _uri(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(png_of(image_of(pixels))).decode()
