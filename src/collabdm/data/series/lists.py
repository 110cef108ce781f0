"""Series in columns of lists: Parquet files, and data sets of the Hugging Face hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collabdm.data.columns import label_column
from collabdm.data.library import unreadable
from collabdm.data.quiet import quietly
from collabdm.data.series.raw import WHOLE, RawSeries, SeriesPart
from collabdm.data.series.stored import stacked
from collabdm.data.splits import split_of
from collabdm.errors import DataError, explain

if TYPE_CHECKING:
    import datasets

__all__ = ["has_lists", "read_hub", "read_parquet"]


def has_lists(file: Path) -> bool:
    """Whether a Parquet file has a column of lists of numbers."""
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    try:
        return any(_depth(field.type) for field in read_schema(file))
    except (OSError, pa.ArrowException):
        return False


def read_parquet(name: str, files: list[Path]) -> RawSeries:
    """Parquet files, each of the part that its name holds a word for; those without one are the whole.

    A row is a series: one column of lists of numbers, or of lists of as many lists as there are channels, or several
    columns of lists, each a channel. The class is in the column `label` (as `collabdm.data.columns` tells).
    """
    import datasets

    by_part: dict[str, Any] = {}
    for file in files:
        by_part.setdefault(split_of(file.stem) or WHOLE, []).append(str(file))
    with quietly():
        try:
            tables = {
                part: datasets.Dataset.from_parquet(paths, keep_in_memory=True) for part, paths in by_part.items()
            }
        except Exception as error:
            raise unreadable(str(files[0].parent), error) from error
    return _of_tables(name, str(files[0].parent), tables)


def read_hub(source: str, name: str, config: str | None) -> RawSeries:
    """A repository of the hub, read by the `datasets` library. Raises `DataError` where it cannot be."""
    import datasets

    with quietly():
        try:
            loaded: Any = datasets.load_dataset(source, config)
        except Exception as error:
            raise unreadable(source, error) from error
    return _of_tables(name, source, {split: table.with_format(None) for split, table in loaded.items()})


def _of_tables(name: str, source: str, tables: "Mapping[str, datasets.Dataset]") -> RawSeries:
    import datasets

    first = next(iter(tables.values()))
    feature = first.features[label_column(source, first.features, None)]
    classes = tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return RawSeries(
        name=name,
        classes=classes,
        parts={part: _part(f"{source}, {part}", table, classes) for part, table in tables.items()},
    )


def _part(source: str, table: "datasets.Dataset", classes: tuple[str, ...] | None) -> SeriesPart:
    label = label_column(source, table.features, None)
    arrow = table.data.table if table._indices is None else table.flatten_indices().data.table
    depths = {field.name: depth for field in arrow.schema if field.name != label and (depth := _depth(field.type))}
    if not depths or (len(depths) > 1 and set(depths.values()) != {1}):
        got = ", ".join(f"{name} ({'lists' * (depth == 1) or 'lists of lists'})" for name, depth in depths.items())
        expected = "a column of lists of numbers, or one for each channel"
        fix = "store each series as a list, or a list of one list per channel"
        raise DataError(
            explain(f"columns of {source}", got=got or ", ".join(arrow.column_names), expected=expected, fix=fix)
        )
    columns = [arrow.column(name).to_pylist() for name in depths]
    nested = set(depths.values()) == {2}
    series = [
        _series(source, row, one[0] if nested else list(one)) for row, one in enumerate(zip(*columns, strict=True))
    ]
    if not series:
        raise DataError(explain(f"rows of {source}", got=0, expected="at least one", fix="check that it is complete"))
    others = [name for name in arrow.column_names if name not in (label, *depths)]
    return SeriesPart(
        values=stacked(source, series),
        labels=_labels(source, table, label, classes),
        columns={
            name: np.array([str(v) if v is not None else "" for v in arrow.column(name).to_pylist()]) for name in others
        },
    )


def _series(source: str, row: int, channels: Any) -> np.ndarray:
    if not channels or any(not line for line in channels):
        fix = "drop the row, or give it its series"
        raise DataError(explain(f"series of {source}, row {row}", got="an empty list", expected="numbers", fix=fix))
    lines = [np.array([np.nan if v is None else v for v in line], dtype=np.float64) for line in channels]
    longest = max(map(len, lines))
    return np.stack([np.pad(line, (0, longest - len(line)), constant_values=np.nan) for line in lines])


def _labels(source: str, table: "datasets.Dataset", name: str, classes: tuple[str, ...] | None) -> np.ndarray:
    values = table.select_columns([name])[:][name]
    missing = next((row for row, value in enumerate(values) if value is None), None)
    if missing is not None:
        fix = "label the row, or drop it"
        raise DataError(explain(f"label of {source}, row {missing}", got="nothing", expected="a class", fix=fix))
    own = getattr(table.features[name], "names", None)
    if classes is not None and own is not None and tuple(own) != classes:
        values = [own[value] for value in values]
    labels = np.asarray(values)
    if labels.ndim != 1 or labels.dtype.kind not in "biufU":
        got, fix = str(table.features[name]), "store one class per row"
        raise DataError(explain(f"column {name} of {source}", got=got, expected="whole numbers or text", fix=fix))
    return labels


def _depth(kind: Any) -> int:
    """1 for lists of numbers, 2 for lists of such, else 0."""
    import pyarrow as pa

    depth = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return depth if number and depth <= 2 else 0
