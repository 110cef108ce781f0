"""Reading what Hugging Face `datasets` reads: hub repositories and local folders.

The library finds files and splits; the images are decoded here. Nothing is written beside the user's data:
the library keeps its own cache.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collabdm.data.columns import image_column, label_column
from collabdm.data.decode import decode_images
from collabdm.data.library import is_plain, plain_path, tables_in, unreadable
from collabdm.data.presets import Preset
from collabdm.data.quiet import quietly
from collabdm.data.raw import RawData, RawPart
from collabdm.data.splits import part_named
from collabdm.errors import DataError, explain

if TYPE_CHECKING:
    import datasets

__all__ = ["read_with_datasets"]


def read_with_datasets(
    source: str, splits: Sequence[str], *, name: str, hint: Preset | None, config: str | None = None
) -> RawData:
    """The asked splits of a hub repository (with its `config`) or a local folder.

    Where there is no `test` split, or one without labels, validation stands in (`data.splits`). Each split's columns
    are told by `data.columns`. The classes are those that the first split declares; labels of one that declares others
    are their names.

    Raises:
        DataError: the library cannot read it, a split is missing, or no image or label column can be told.
    """
    with quietly():
        try:
            by_split = _load(source, config)
        except DataError:
            raise
        except Exception as error:
            raise unreadable(source, error) from error
        chosen = {split: by_split[_split_name(source, split, by_split, hint)] for split in splits}
        first = next(iter(chosen.values()))
        declared = _declared(first.features[label_column(source, first.features, hint)])
        parts = {split: _part(f"{source}, {split}", table, hint, declared) for split, table in chosen.items()}
    return RawData(name=name, classes=declared, parts=parts)


def _load(source: str, config: str | None) -> Mapping[str, Any]:
    import datasets

    folder = Path(source)
    saved = (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()
    plain = is_plain(source)
    asked = config is not None and folder.is_dir() and plain and not saved
    if asked and config not in datasets.get_dataset_config_names(source):
        config = None  # a folder that is only called like a preset
    loaded: Any
    if saved:
        loaded = datasets.load_from_disk(plain_path(source))
    else:
        loaded = datasets.load_dataset(source, config) if plain else tables_in(folder)
    if folder.is_dir() and not saved:
        _check_parquet(folder)
    by_split = loaded if isinstance(loaded, dict) else {"train": loaded}
    # A format that was set for training is saved with the data.
    return {split: table.with_format(None) for split, table in by_split.items()}


def _check_parquet(folder: Path) -> None:
    """Refuse files that differ in their class names: the library would read the labels of all by those of the first."""
    import datasets
    from pyarrow.parquet import read_schema

    seen: dict[str, tuple[Path, tuple[str, ...]]] = {}
    for file in sorted(folder.rglob("*.parquet")):
        for column, feature in datasets.Features.from_arrow_schema(read_schema(file)).items():
            names = _declared(feature)
            if names is None:
                continue
            first, others = seen.setdefault(column, (file, names))
            if names != others:
                raise DataError(
                    explain(
                        f"class names in {file}, column {column}",
                        got=", ".join(names)[:200],
                        expected=f"{', '.join(others)[:200]}, as in {first.name}",
                        fix="give all files the same class names in the same order, or the names as text labels",
                    )
                )


def _split_name(source: str, split: str, by_split: Mapping[str, Any], hint: Preset | None) -> str:
    # A competition keeps the labels of its test data, and publishes -1.
    return part_named(source, split, by_split, lambda name: _any_label(source, by_split[name], hint))


def _declared(feature: Any) -> tuple[str, ...] | None:
    import datasets

    return tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def _part(source: str, table: "datasets.Dataset", hint: Preset | None, classes: tuple[str, ...] | None) -> RawPart:
    import datasets

    pictures = image_column(source, table.features, hint)
    label = label_column(source, table.features, hint)
    feature, encoded = table.features[pictures], table.select_columns([pictures])
    if isinstance(feature, datasets.Image):
        encoded = encoded.cast_column(pictures, datasets.Image(decode=False))
    items = (item for batch in encoded.iter(batch_size=1000) for item in dict(batch)[pictures])
    images = decode_images(items, len(table), source=source, mode=getattr(feature, "mode", None))
    others = [name for name in table.column_names if name not in (pictures, label)]
    columns = {name: _column(table, name) for name in others if _is_scalar(table.features[name])}
    labels = _labels(source, table, label, classes)
    # Of files, floats come of a stated range alone.
    return RawPart(images=images, labels=labels, columns=columns, any_range=images.dtype.kind == "f")


def _any_label(source: str, table: "datasets.Dataset", hint: Preset | None) -> bool:
    name = label_column(source, table.features, hint)
    return any(value is not None and value != -1 for value in table.select_columns([name])[:][name])


def _labels(source: str, table: "datasets.Dataset", name: str, classes: tuple[str, ...] | None) -> np.ndarray:
    """Positions in `classes`, or values as they are; positions in other classes become their names."""
    values = table.select_columns([name])[:][name]
    if _declared(table.features[name]) not in (None, classes):
        values = _named(table.features[name], values)
    missing = next((row for row, value in enumerate(values) if value is None), None)
    labels = np.asarray(values)
    if missing is not None or labels.ndim != 1 or (len(labels) and labels.dtype.kind not in "biufU"):
        raise DataError(
            explain(
                f"column {name} of {source}",
                got=f"nothing in row {missing}" if missing is not None else f"{table.features[name]}",
                expected="one integer or text per row",
                fix="label every row, or drop it",
            )
        )
    return labels


def _is_scalar(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.ClassLabel | datasets.Value) and "binary" not in feature.dtype


def _column(table: "datasets.Dataset", name: str) -> np.ndarray:
    """Class labels become their names; where values are missing, all become text, the missing empty."""
    import datasets

    values = table.select_columns([name])[:][name]
    feature = table.features[name]
    if isinstance(feature, datasets.ClassLabel):
        values = _named(feature, values)
    if any(value is None for value in values):
        values = ["" if value is None else str(value) for value in values]
    return np.asarray(values)


def _named(feature: Any, values: Sequence[Any]) -> list[str | None]:
    return [feature.int2str(value) if value is not None and value >= 0 else None for value in values]
