"""A folder or an archive of image files: what is read of it, with labels by folders or by a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from collabdm.data.decode import decode_images
from collabdm.data.image_files import Found, Parts, files_in_archive, files_in_folder, is_archive
from collabdm.data.image_labels import Labels, labels_of
from collabdm.data.metadata import as_column, is_metadata, metadata_rows, place_key
from collabdm.data.raw import RawData, RawPart
from collabdm.data.splits import part_named
from collabdm.errors import DataError, explain

__all__ = ["found_images", "read_image_files"]

# Tables of images, which the `datasets` library reads.
_TABLES = (".parquet", ".arrow")
_OTHER_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".tar", ".lance", ".h5", ".hdf5", ".py", ".zst")
# What people put beside the folders of the classes, to be read by people.
_ABOUT = {".md", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".html", ".pdf", ".rst", ".py", ""}


def found_images(source: Path) -> Found | None:
    """The image files of a folder or an archive; None where a folder is for the `datasets` library: saved by it, with a
    card that says which files are of which split, with tables of images, or with nothing that is known here.

    Raises:
        DataError: it cannot be read, or holds no image.
    """
    if not source.is_dir():
        return _with_images(source, files_in_archive(source))
    saved = any((source / name).exists() for name in ("dataset_dict.json", "state.json"))
    if saved or _declares_files(source):
        return None
    found = files_in_folder(source)
    if any(
        file[-1].lower().endswith(_TABLES) and not is_metadata(file) and _of_images(source, file)
        for file in found.others
    ):
        return None
    if not found.images:
        found = _unpacked(source, found)
    if not found.images and any(file[-1].lower().endswith((*_TABLES, *_OTHER_TABLES)) for file in found.others):
        return None
    return _with_images(source, found)


def read_image_files(source: Path, found: Found, splits: Sequence[str], *, name: str) -> RawData:
    """The asked splits of image files. Labels are the table's beside them, where it has any, else the folders' names.

    Raises:
        DataError: a split is missing, a class cannot be told, or an image cannot be used.
    """
    rows = metadata_rows(str(source), found.others)
    labels = labels_of(str(source), found, rows)
    by_split: dict[str, list[Parts]] = {}
    for file in found.images:
        if file in labels.places:
            by_split.setdefault(labels.places[file].split, []).append(file)
    passed = _passed_over(found, by_split, labels, rows)
    chosen = {split: part_named(str(source), split, by_split, lambda _: True) for split in splits}
    if {"train", "test"} <= set(splits):
        others = {part: len(files) for part, files in by_split.items() if part not in chosen.values()}
        passed |= {f"image of the part {part}, beside train and test": number for part, number in others.items()}
    parts = {}
    for split, part in chosen.items():
        files = by_split[part]
        images = decode_images((found.images[file] for file in files), len(files), source=f"{source}, {split}")
        columns = {} if not rows else _columns(files, rows, labels.column)
        values = np.array([labels.values[file] for file in files])
        # Of files, floats come of a stated range alone.
        parts[split] = RawPart(images=images, labels=values, columns=columns, any_range=images.dtype.kind == "f")
    return RawData(name=name, classes=labels.classes, parts=parts, passed=passed)


def _columns(
    files: Sequence[Parts], rows: Mapping[Parts, Mapping[str, Any]], label: str | None
) -> dict[str, np.ndarray]:
    own = [rows.get(place_key(file), {}) for file in files]
    names = dict.fromkeys(name for row in rows.values() for name in row if name != label)
    return {name: as_column([row.get(name) for row in own]) for name in names}


def _passed_over(
    found: Found, by_split: Mapping[str, list[Parts]], labels: Labels, rows: Mapping[Parts, Any]
) -> dict[str, int]:
    """How much of what was found is not read, by why."""
    count = Counter(found.left)
    used = sum(map(len, by_split.values()))
    count["image without a label in the table"] = labels.unlabelled
    count["image outside the folders of the splits"] = len(found.images) - used - labels.unlabelled
    known = {place_key(file) for file in found.images}
    count["row of the table without its image"] = sum(place not in known for place in rows)
    in_classes = {file[:-1] for file in labels.places} if labels.column is None else set()
    for file in found.others:
        ending = PurePosixPath(file[-1]).suffix.lower()
        if not is_metadata(file) and (file[:-1] in in_classes or ending not in _ABOUT):
            count[f"{ending or file[-1]} file, which is no image that can be read"] += 1
    return {what: number for what, number in count.items() if number > 0}


def _unpacked(source: Path, found: Found) -> Found:
    """With what its archives hold, each as a folder of its name; archives of files without folders stay as they are."""
    for file in [file for file in found.others if is_archive(file[-1])]:
        inside = files_in_archive(source.joinpath(*file), (*file[:-1], file[-1].split(".")[0]))
        if any(len(place) > len(file) + 1 for place in inside.images):
            del found.others[file]
            found.images.update(inside.images)
            found.others.update(inside.others)
            found.folders.update(inside.folders)
            found.left.update(inside.left)
    return found.in_order()


def _with_images(source: Path, found: Found) -> Found:
    if found.images:
        return found
    endings = Counter(PurePosixPath(file[-1]).suffix.lower() or file[-1] for file in found.others)
    got = ", ".join(f"{number} {ending} files" for ending, number in endings.most_common(5)) or "no file"
    expected = "image files that Pillow reads (PNG, JPEG, WebP, TIFF, ...), or tables of images (parquet)"
    fix = "convert the images to PNG or JPEG" if found.others else "check the path, and that the data are complete"
    raise DataError(explain(f"data set {source}", got=got, expected=expected, fix=fix))


def _of_images(source: Path, file: Parts) -> bool:
    """Whether a table has a column that can hold images. One that cannot be read has: the library refuses it."""
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    if not file[-1].lower().endswith(".parquet"):
        return True
    try:
        schema = read_schema(source.joinpath(*file))
    except (OSError, pa.ArrowException):
        return True
    kinds = (pa.types.is_struct, pa.types.is_binary, pa.types.is_large_binary)
    return any(kind(field.type) for field in schema for kind in kinds)


def _declares_files(folder: Path) -> bool:
    """Whether the folder's own card says which files are of which split."""
    card = folder / "README.md"
    head = card.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0] if card.is_file() else ""
    return head.startswith("---") and any(line.startswith("configs:") for line in head.splitlines())
