"""Image folders: `train/<class>/1.png` and `test/<class>/2.png`, or `<class>/1.png` alone.

The `datasets` library takes every folder whose name holds a word such as `train` for a split, at any depth and in small
letters only: a class of that name would be moved, test images learned from, and the classes beside it lost. It also
drops the labels of a site that holds a single class. So splits are told here, by the first folder alone.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collabdm.errors import DataError, explain

__all__ = ["with_class_folders"]

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def with_class_folders(folder: Path, splits: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `splits` of a local folder as they are, or, where they are image files and nothing else, as its folders say.

    The first folder names the split, in letters of any case (`Training`, `test-set`), the last the class; a folder that
    holds all others does not count. Folders whose names begin with `.` or `__` are passed over, as the library does.

    Raises:
        DataError: images that are not in folders of their classes, or of which the class cannot be told.
    """
    import datasets

    if not all(_plain(table) for table in splits.values()) or _declares_files(folder):
        return splits
    below, places = _places(folder)
    if not places:  # in archives
        return splits
    _check(folder, places)
    patterns: dict[str, list[str]] = {}
    for place in places:
        pattern = str(below / (place.top or "") / "**")
        if pattern not in patterns.setdefault(place.split, []):
            patterns[place.split].append(pattern)
    loaded: Any = datasets.load_dataset("imagefolder", data_files=patterns, drop_labels=False)
    return loaded if all("label" in table.features for table in loaded.values()) else splits  # a metadata file


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A folder that holds images: the `split` and the folder at the `top` that names it, if one does, and those below
    it, the last of which is the class's."""

    split: str
    top: str | None
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "/".join([*([self.top] if self.top else []), *self.names])


def _places(folder: Path) -> tuple[Path, list[_Place]]:
    """The folder that the images share, and the folders below it that hold any.

    Where some at the top name splits, those beside them are passed over.
    """
    found = sorted(_holding_images(folder))
    while found and all(len(parts) > 1 for parts in found) and len({parts[0] for parts in found}) == 1:
        if _split_of(found[0][0]):
            break
        folder, found = folder / found[0][0], [parts[1:] for parts in found]
    named = {parts[0]: split for parts in found if len(parts) > 1 and (split := _split_of(parts[0]))}
    if not named:
        return folder, [_Place(split="train", top=None, names=parts) for parts in found]
    return folder, [
        _Place(split=named[parts[0]], top=parts[0], names=parts[1:]) for parts in found if parts and parts[0] in named
    ]


def _split_of(name: str) -> str | None:
    """The split that a folder's name holds a word for: one, and no word for another."""
    words = re.split(r"[-._ 0-9]+", name.casefold())
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def _holding_images(folder: Path) -> Iterator[tuple[str, ...]]:
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

    endings = tuple(ImageFolder.EXTENSIONS)
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not name.startswith((".", "__"))]
        if any(name.lower().endswith(endings) and not name.startswith((".", "__")) for name in files):
            yield Path(place).relative_to(folder).parts


def _check(folder: Path, places: Sequence[_Place]) -> None:
    # `train/1.png` and nothing else: hardly a class of that name.
    bare = all(place.top is None and len(place.names) == 1 and place.names[0].casefold() in _SPLITS for place in places)
    if bare or not all(place.names for place in places):
        raise _unclear(folder, "images without a folder of their class")
    if len({len(place.names) for place in places}) > 1 and len({place.names[-1] for place in places}) > 1:
        raise _unclear(folder, "folders of images at several depths")
    seen: dict[tuple[str, str | None, str], _Place] = {}
    for place in places:
        first = seen.setdefault((place.split, place.top, place.names[-1]), place)
        if first is not place:
            raise _unclear(folder, f"class {place.names[-1]} both in {first} and in {place}")


def _plain(table: Any) -> bool:
    """Whether a split is of image files, with nothing beside them but a label by their folder."""
    import datasets

    if not set(table.features) <= {"image", "label"} or not isinstance(table.features.get("image"), datasets.Image):
        return False
    encoded = table.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
    return all(item["image"]["bytes"] is None for item in encoded.select(range(min(1, len(table)))))


def _declares_files(folder: Path) -> bool:
    """Whether the folder's own card says which files are of which split."""
    card = folder / "README.md"
    head = card.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0] if card.is_file() else ""
    return head.startswith("---") and re.search(r"^configs:", head, re.MULTILINE) is not None


def _unclear(folder: Path, got: str) -> DataError:
    return DataError(
        explain(
            f"image folder {folder}",
            got=got,
            expected="a folder of images for each class, all at one depth: train/<class>/1.png, test/<class>/2.png",
            fix="put the images of each class into one folder of its name",
        )
    )
