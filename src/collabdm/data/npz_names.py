"""Which array of an archive is which: `x_train`, `train_images`, `images_val`, `y`, `station_train`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from collabdm.data.splits import split_of

__all__ = ["Names", "named_arrays"]

_IMAGES = {"x", "image", "images", "img", "imgs", "data", "pixels", "samples", "inputs", "features"}
_LABELS = {"y", "label", "labels", "target", "targets"}


@dataclass(kw_only=True)
class Names:
    """The arrays of one part by name: of its images, of its labels, and of each further column."""

    images: str | None = None
    labels: str | None = None
    columns: dict[str, str] = field(default_factory=dict)


def named_arrays(names: Iterable[str]) -> dict[str, Names]:
    """The parts of an archive, by `train`, `validation` and `test`.

    A name is a word for a part, first or last, and one for what is in it, in letters of any case: `x`, `images`, `data`
    or `y`, `labels`, `targets` (of several, the earliest name in this order of words); any other word is a column.
    Arrays `x` and `y` without a part are the train part, where no others are.
    """
    names = list(names)
    parts: dict[str, Names] = {}
    for name in sorted(names, key=lambda name: (_rank(name), name)):
        for split, rest in _readings(name):
            part = parts.setdefault(split, Names())
            if rest.lower() in _IMAGES:
                part.images = part.images or name
            elif rest.lower() in _LABELS:
                part.labels = part.labels or name
            else:
                part.columns[rest] = name
    if not any(part.images for part in parts.values()):
        alone = Names()
        for name in sorted(names, key=lambda name: (_rank(name), name)):
            if name.lower() in _IMAGES:
                alone.images = alone.images or name
            elif name.lower() in _LABELS:
                alone.labels = alone.labels or name
        parts["train"] = alone
    return parts


def _rank(name: str) -> int:
    """`x` before `data`, `y` before `targets`; and names in small letters first."""
    words = re.split(r"[-_. ]", name.lower())
    return 0 if "x" in words or "y" in words else 1


def _readings(name: str) -> list[tuple[str, str]]:
    """(part, the rest of the name), by its last word or else its first."""
    words = re.split(r"[-_. ]", name)
    if len(words) < 2:
        return []
    for split, rest in (
        (split_of(words[-1]), name[: -len(words[-1]) - 1]),
        (split_of(words[0]), name[len(words[0]) + 1 :]),
    ):
        if split is not None and rest:
            return [(split, rest)]
    return []
