"""The labels of image files: by the table beside them, where it has any, else by the folders that they lie in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collabdm.data.class_folders import Place, checked_classes, places_of
from collabdm.data.class_names import spelled_as, tell_spelling
from collabdm.data.columns import label_named
from collabdm.data.image_files import Found, Parts
from collabdm.data.metadata import as_column, place_key

__all__ = ["Labels", "labels_of"]

Rows = Mapping[Parts, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """`values`: the label of every file that has one, a name of one of the `classes`; where these are None, a value.

    `places`: the folder of each such file. `column`: of the table, where that tells the labels. `unlabelled`: how many
    files the table leaves without.
    """

    places: Mapping[Parts, Place]
    values: Mapping[Parts, Any]
    classes: tuple[str, ...] | None = None
    column: str | None = None
    unlabelled: int = 0


def labels_of(source: str, found: Found, rows: Rows) -> Labels:
    """The labels, from `metadata_rows` or from folders. Where both tell the same classes, the folders name them.

    Raises:
        DataError: there is no table of labels, and the classes cannot be told by the folders.
    """
    folders = places_of(found, labelled=False)
    places = {file: folders[file[:-1]] for file in found.images if file[:-1] in folders}
    in_folders = bool(folders) and all(place.names for place in folders.values())
    names = dict.fromkeys(name for row in rows.values() for name in row)
    column = label_named(names, certain=in_folders)
    if column is not None:
        by_table = _by_table(found, rows, column)
        if by_table.values and not (in_folders and _agree(by_table.values, places)):
            return by_table
    checked_classes(source, found, list(folders.values()))
    meant = _spelled(source, places)
    values = {file: meant[place.split].get(place.names[-1], place.names[-1]) for file, place in places.items()}
    return Labels(places=places, values=values, classes=tuple(sorted(set(values.values()))))


def _spelled(source: str, places: Mapping[Parts, Place]) -> dict[str, dict[str, str]]:
    """By split, the classes that are called otherwise in the train part: Windows takes `cat` and `Cat` for one."""
    names: dict[str, set[str]] = {}
    for place in places.values():
        names.setdefault(place.split, set()).add(place.names[-1])
    known = sorted(names.get("train", ()))
    meant = {split: spelled_as(sorted(own), known) if known else {} for split, own in names.items()}
    tell_spelling(source, {name: one for own in meant.values() for name, one in own.items()})
    return meant


def _by_table(found: Found, rows: Rows, column: str) -> Labels:
    told = {file: rows.get(place_key(file), {}).get(column) for file in found.images}
    labelled = {file: value for file, value in told.items() if value not in (None, "")}
    folders = places_of(found, labelled=True)
    places = {file: folders[file[:-1]] for file in labelled if file[:-1] in folders}
    values = as_column([labelled[file] for file in places]).tolist()
    left = len(told) - len(labelled)
    return Labels(places=places, values=dict(zip(places, values, strict=True)), column=column, unlabelled=left)


def _agree(values: Mapping[Parts, Any], places: Mapping[Parts, Place]) -> bool:
    """Whether folders and table tell the same classes, under whatever names."""
    pairs = {(str(value), places[file].names[-1]) for file, value in values.items() if file in places}
    return len(values) == len(places) and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
