"""Image folders whose classes the `datasets` library does not tell: a site may hold a single class.

Where it has seen only one folder of images when it comes to a split, the library takes it for no class and leaves the
split without labels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collabdm.errors import DataError, explain

__all__ = ["with_class_folders"]

_SPLIT_FOLDERS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation"}


def with_class_folders(folder: Path, splits: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `splits` of a local folder as they are, or, where the library left images unlabelled, with their folders'
    names as classes.

    Raises:
        DataError: images that are not in folders of their classes.
    """
    import datasets

    if not any(_unlabelled(table) for table in splits.values()):
        return splits
    parents = {parent for table in splits.values() for parent in _parents(table)}
    if not all(_below_splits(folder, parent) for parent in parents):
        raise _unclear(folder, "images without a folder of their class")
    loaded: Any = datasets.load_dataset("imagefolder", data_dir=str(folder), drop_labels=False)
    if not all("label" in table.features for table in loaded.values()):  # a metadata file of names alone
        return splits
    # The library labels no split where images lie at several depths: whose folders name the classes is a guess then.
    chosen = any("label" in table.features for table in splits.values())
    if not chosen and any(len(table.features["label"].names) > 1 for table in loaded.values()):
        raise _unclear(folder, "folders of images at several depths")
    return loaded


def _unlabelled(table: Any) -> bool:
    """Whether this is an image folder's split without labels, or with empty ones."""
    import datasets

    if not set(table.features) <= {"image", "label"} or not isinstance(table.features.get("image"), datasets.Image):
        return False
    label = table.features.get("label")
    dropped = label is None or (isinstance(label, datasets.ClassLabel) and table.data.column("label").null_count > 0)
    return dropped and all(item["image"]["bytes"] is None for item in _encoded(table.select(range(min(1, len(table))))))


def _parents(table: Any) -> set[Path]:
    return {Path(item["image"]["path"]).parent for item in _encoded(table)}


def _encoded(table: Any) -> Any:
    import datasets

    return table.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))


def _below_splits(folder: Path, parent: Path) -> bool:
    """Whether a folder of images lies below the data's own and its split's."""
    root = folder.resolve()
    if not parent.is_relative_to(root):
        return False
    parts = parent.relative_to(root).parts
    return len(parts) > 1 or (len(parts) == 1 and parts[0] not in _SPLIT_FOLDERS)


def _unclear(folder: Path, got: str) -> DataError:
    return DataError(
        explain(
            f"image folder {folder}",
            got=got,
            expected="a folder of images for each class, all at one depth: train/<class>/1.png",
            fix="put the images of each class into a folder of its name",
        )
    )
