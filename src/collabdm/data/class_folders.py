"""Which folders of images name a part of the data, and which a class: `train/<class>/1.png`, or `<class>/1.png` alone.

The `datasets` library takes every folder whose name holds a word such as `train` for a split, at any depth and in small
letters only: a class of that name would be moved, test images learned from, and the classes beside it lost. It also
drops the labels of a site that holds a single class, follows no links, and passes over endings that it does not know.
So image files are read here, and parts are told by the first folder alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from collabdm.data.image_files import Found, Parts
from collabdm.data.splits import split_of
from collabdm.errors import DataError, explain

__all__ = ["Place", "checked_classes", "places_of"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder that holds images, `path` below the source: the `split`, the folder at the `top` that names it, if one
    does, and the `names` below it, the last of which is the class's."""

    path: Parts
    split: str
    top: str | None
    names: Parts

    def __str__(self) -> str:
        return "/".join([*([self.top] if self.top else []), *self.names])


def places_of(found: Found, *, labelled: bool) -> dict[Parts, Place]:
    """The folders that hold images, by their place.

    The first folder names the split, in letters of any case (`Training`, `test-set`); a folder that holds all others
    does not count. Where some at the top name splits, those beside them are passed over. `labelled`: a table says the
    classes, so the images may lie in the folder of their split itself.
    """
    paths = sorted({place[:-1] for place in found.images})
    least, base = (1 if labelled else 2), 0
    while paths and all(len(path) >= base + least for path in paths) and len({path[base] for path in paths}) == 1:
        if split_of(paths[0][base]):
            break
        base += 1
    named = {
        path[base]: split for path in paths if len(path) >= base + least and (split := split_of(path[base])) is not None
    }
    if not named:
        return {path: Place(path=path, split="train", top=None, names=path[base:]) for path in paths}
    return {
        path: Place(path=path, split=named[path[base]], top=path[base], names=path[base + 1 :])
        for path in paths
        if len(path) > base and path[base] in named
    }


def checked_classes(source: str, found: Found, places: Sequence[Place]) -> None:
    """Refuse image folders of which the class cannot be told, and a class without an image.

    Raises:
        DataError: images that are not in folders of their classes, folders at several depths, a class in two places,
            or a folder among those of the classes that holds nothing that can be read.
    """
    # `train/1.png` and nothing else: hardly a class of that name.
    bare = all(place.top is None and len(place.names) == 1 and split_of(place.names[0]) for place in places)
    loose = [place for place in places if bare or not place.names]
    if loose:
        example = next("/".join(file) for file in found.images if file[:-1] == loose[0].path)
        raise _unclear(source, f"images without a folder of their class, such as {example}")
    if len({len(place.names) for place in places}) > 1 and len({place.names[-1] for place in places}) > 1:
        short = min(places, key=lambda place: len(place.names))
        long = max(places, key=lambda place: len(place.names))
        raise _unclear(source, f"folders of images at several depths, such as {short} and {long}")
    seen: dict[tuple[str, str | None, str], Place] = {}
    for place in places:
        first = seen.setdefault((place.split, place.top, place.names[-1]), place)
        if first is not place:
            raise _unclear(source, f"class {place.names[-1]} both in {first} and in {place}")
    _check_filled(source, found, places)


def _check_filled(source: str, found: Found, places: Sequence[Place]) -> None:
    beside = {place.path[:-1] for place in places}
    filled = {file[:end] for file in found.images for end in range(len(file))}
    for folder in sorted(found.folders):
        if folder[:-1] not in beside or folder in filled or (split_of(folder[-1]) and len(folder) == 1):
            continue
        inside = [file[-1] for file in found.others if file[: len(folder)] == folder]
        if folder[-1].startswith(".") and not inside:
            continue
        held = f"{len(inside)} files, none an image that can be read, such as {inside[0]}" if inside else "no file"
        raise DataError(
            explain(
                f"class folder {'/'.join(folder)} of {source}",
                got=held,
                expected="images such as PNG, JPEG, WebP or TIFF",
                fix="convert its files to PNG or JPEG; or, if it is no class, move the folder out of the data",
            )
        )


def _unclear(source: str, got: str) -> DataError:
    return DataError(
        explain(
            f"image folder {source}",
            got=got,
            expected="a folder of images for each class, all at one depth: train/<class>/1.png, test/<class>/2.png",
            fix="put the images of each class into one folder of its name, or beside them a table metadata.csv"
            " with the columns file_name and label",
        )
    )
