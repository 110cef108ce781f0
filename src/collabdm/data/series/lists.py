"""Series in columns of lists: Parquet files, and data sets of the Hugging Face hub."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collabdm.data.columns import label_column
from collabdm.data.library import unreadable
from collabdm.data.quiet import quietly
from collabdm.data.series.raw import WHOLE, Choose, RawSeries, SeriesPart
from collabdm.data.series.stored import stacked
from collabdm.data.splits import split_of
from collabdm.errors import DataError, explain

if TYPE_CHECKING:
    import datasets

Place = Callable[[int], str]

__all__ = ["has_lists", "read_hub", "read_parquet"]


def has_lists(file: Path) -> bool:
    """Whether a Parquet file has a column of lists of numbers."""
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    try:
        return any(_depth(field.type) for field in read_schema(file))
    except (OSError, pa.ArrowException):
        return False


def read_parquet(name: str, files: list[Path], choose: Choose) -> RawSeries:
    """The chosen parts of Parquet files, each of the part that its name holds a word for; those without one are the
    whole.

    A row is a series: one column of lists of numbers, or of lists of as many lists as there are channels, or several
    columns of lists, each a channel. The class is in the column `label` (as `collabdm.data.columns` tells).
    """
    by_part: dict[str, list[Path]] = {}
    for file in files:
        by_part.setdefault(split_of(file.stem) or WHOLE, []).append(file)
    own = {part: by_part[part] for part in dict.fromkeys(choose(by_part).values())}
    found = {part: _loaded(paths) for part, paths in own.items()}
    return _of_tables(name, {part: (table, _places(own[part])) for part, table in found.items()})


def _loaded(files: list[Path]) -> "datasets.Dataset":
    import datasets

    with quietly():
        try:
            return datasets.Dataset.from_parquet([str(file) for file in files], keep_in_memory=True)  # pyright: ignore
        except Exception as error:
            raise unreadable(_faulty(files), error) from error


def _faulty(files: list[Path]) -> str:
    """The first file that cannot be read, or has other columns than the first; the folder where each is well."""
    import pyarrow as pa
    from pyarrow.parquet import read_table

    first: list[str] | None = None
    for file in files:
        try:
            names = sorted(read_table(file).column_names)
        except (pa.ArrowException, OSError):
            return str(file)
        if first is not None and names != first:
            return str(file)
        first = names
    return str(files[0] if len(files) == 1 else files[0].parent)


def _places(files: list[Path]) -> Place:
    """Where the rows of these files stand, which are read one after the other."""
    from pyarrow.parquet import read_metadata

    ends = np.cumsum([read_metadata(file).num_rows for file in files])

    def place(row: int) -> str:
        file = int(np.searchsorted(ends, row, side="right"))
        return f"{files[file]}, row {row - int(ends[file - 1] if file else 0)}"

    return place


def read_hub(source: str, name: str, config: str | None, choose: Choose) -> RawSeries:
    """A repository of the hub, read by the `datasets` library. Raises `DataError` where it cannot be."""
    import datasets

    with quietly():
        try:
            loaded: Any = datasets.load_dataset(source, config)
        except Exception as error:
            raise unreadable(source, error) from error
    own = {part: loaded[part].with_format(None) for part in dict.fromkeys(choose(map(str, loaded)).values())}
    return _of_tables(name, {part: (table, _row_of(f"{source}, {part}")) for part, table in own.items()})


def _row_of(source: str) -> Place:
    return lambda row: f"{source}, row {row}"


def _of_tables(name: str, tables: "Mapping[str, tuple[datasets.Dataset, Place]]") -> RawSeries:
    import datasets

    first, place = next(iter(tables.values()))
    feature = first.features[label_column(_file_of(place), first.features, None)]
    classes = tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return RawSeries(
        name=name,
        classes=classes,
        parts={part: _part(table, place, classes) for part, (table, place) in tables.items()},
    )


def _file_of(place: Place) -> str:
    return place(0).removesuffix(", row 0")


def _part(table: "datasets.Dataset", place: Place, classes: tuple[str, ...] | None) -> SeriesPart:
    source = _file_of(place)
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
        _series(place(row), one[0] if nested else list(one)) for row, one in enumerate(zip(*columns, strict=True))
    ]
    if not series:
        raise DataError(explain(f"rows of {source}", got=0, expected="at least one", fix="check that it is complete"))
    others = [name for name in arrow.column_names if name not in (label, *depths)]
    return SeriesPart(
        values=stacked(series, place),
        labels=_labels(table, label, classes, place),
        place=place,
        columns={
            name: np.array([str(v) if v is not None else "" for v in arrow.column(name).to_pylist()]) for name in others
        },
    )


def _series(where: str, channels: Any) -> np.ndarray:
    if not channels or any(not line for line in channels):
        fix = "drop the row, or give it its series"
        raise DataError(explain(f"series of {where}", got="an empty list", expected="numbers", fix=fix))
    lines = [np.array([np.nan if v is None else v for v in line], dtype=np.float64) for line in channels]
    longest = max(map(len, lines))
    return np.stack([np.pad(line, (0, longest - len(line)), constant_values=np.nan) for line in lines])


def _labels(table: "datasets.Dataset", name: str, classes: tuple[str, ...] | None, place: Place) -> np.ndarray:
    values = table.select_columns([name])[:][name]
    missing = next((row for row, value in enumerate(values) if value is None), None)
    if missing is not None:
        fix = "label the row, or drop it"
        raise DataError(explain(f"label of {place(missing)}", got="nothing", expected="a class", fix=fix))
    own = getattr(table.features[name], "names", None)
    if classes is not None and own is not None and tuple(own) != classes:
        values = [own[value] for value in values]
    labels = np.asarray(values)
    if labels.ndim != 1 or labels.dtype.kind not in "biufU":
        got, fix = str(table.features[name]), "store one class per row"
        raise DataError(
            explain(f"column {name} of {_file_of(place)}", got=got, expected="whole numbers or text", fix=fix)
        )
    return labels


def _depth(kind: Any) -> int:
    """1 for lists of numbers, 2 for lists of such, else 0."""
    import pyarrow as pa

    depth = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return depth if number and depth <= 2 else 0
