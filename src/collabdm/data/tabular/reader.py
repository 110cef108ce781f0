"""From a table, wherever it is, to samples: rows by declared columns, labels by their column."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collabdm.data.flows.facts import FLOWS_FILE, row_facts, row_settings_in
from collabdm.data.quiet import quietly
from collabdm.data.samples import Dataset, Samples
from collabdm.data.tabular.builtin import BUILTIN, builtin_schema, builtin_table
from collabdm.data.tabular.files import WHOLE, called_table, is_table, table_files, tables_of
from collabdm.data.tabular.labels import classes_of, label_column, labels_in, texts_of_labels
from collabdm.data.tabular.parting import SPLIT, parted
from collabdm.data.tabular.preset import table_preset
from collabdm.data.tabular.proposing import proposed_schema
from collabdm.data.tabular.raw import RawTable, listed, raw_table
from collabdm.data.tabular.rows import Reading, rows_by
from collabdm.data.tabular.schema import TableSchema, own_schema, read_schema
from collabdm.errors import DataError, DataWarning, explain

__all__ = ["dataset_of_tables", "holds_tables", "proposed_for", "raw_tables", "read_tables"]

_BUILTIN_TEST = 0.3


def holds_tables(source: str) -> bool:
    """Whether a source is certainly a table: a built-in one, a CSV, TSV or parquet file, a folder of these, or the
    `flows.json` of such a folder."""
    path = Path(source).expanduser()
    if path.name == FLOWS_FILE and path.is_file():
        return row_settings_in(path) is not None
    if _is_builtin(source):
        return True
    if not path.exists():
        # A mistyped path: whoever reads it says so, and in the words of tables.
        return called_table(path)
    return is_table(path) or (path.is_dir() and bool(table_files(path)))


def read_tables(
    source: str,
    splits: Sequence[str],
    *,
    label: str | None = None,
    schema: str | None = None,
    test_fraction: float | None = None,
    group: str | None = None,
    ignore: Sequence[str] = (),
    sample: Any = None,
) -> Dataset:
    """Rows of a built-in table, a file, a folder or a table on the hub.

    `label`: the column of labels, by default the schema's, or one that is usually called so. `schema`: a file with
    declared columns, by default the `schema.json` that lies in the folder; `sample`: a plan's description of its
    samples, by which rows are read whatever else is given; with none of them the columns are proposed from the train
    part, which is told. `test_fraction` of a table without parts are
    for testing, whole values of the column `group` where there is one. `ignore`: columns that are no features.

    Raises:
        DataError: unknown, unreadable or unusable data; the message says which file, row and column.
    """
    declared = TableSchema(label=sample.label, columns=sample.columns) if sample is not None else None
    if declared is None and schema is not None:
        declared = read_schema(schema)
    path, tables = Path(source).expanduser(), raw_tables(source, () if test_fraction else splits)
    builtin = _is_builtin(source)
    if builtin:
        declared = declared or builtin_schema(source)
        test_fraction = test_fraction or _BUILTIN_TEST
    elif declared is None and path.is_dir():
        declared = own_schema(path)
    name = source if builtin or not path.exists() else path.resolve().name.split(".")[0]
    if declared is not None and label is None:
        label = declared.label if any(declared.label in raw.columns for raw in tables.values()) else None
    data = dataset_of_tables(
        name, tables, splits, label=label, declared=declared, fraction=test_fraction, group=group, ignore=ignore
    )
    # Under other columns or labels than those of its flows, the rows are not what the facts say.
    if declared is None or builtin or not path.is_dir():
        return data
    return replace(data, facts=row_facts(path, label, declared.columns))


def raw_tables(source: str, splits: Sequence[str] = ()) -> Mapping[str, RawTable]:
    """The tables of a source by part, as found; of a folder's parts only the `splits`, where any are asked for. Raises
    `DataError`."""
    path = Path(source).expanduser()
    if path.name == FLOWS_FILE and path.is_file():
        got, fix = "settings and counts, in which no flow is", f"pass the folder {path.resolve().parent}"
        raise DataError(explain(f"table {path}", got=got, expected="a table", fix=fix))
    if _is_builtin(source):
        return {WHOLE: builtin_table(source)}
    return tables_of(path, splits) if path.exists() else _hub_tables(source)


def _is_builtin(source: str) -> bool:
    """Whether a built-in table is meant. A file of its name comes first, and so does a folder in which a table
    lies; that of a run, which may be being written, does not."""
    path = Path(source)
    return source in BUILTIN and not path.is_file() and not (path.is_dir() and any(map(is_table, path.iterdir())))


def dataset_of_tables(
    name: str,
    tables: Mapping[str, RawTable],
    splits: Sequence[str],
    *,
    label: str | None,
    declared: TableSchema | None,
    fraction: float | None,
    group: str | None,
    ignore: Sequence[str] = (),
) -> Dataset:
    """The data set of a source's tables by part; the options as in `read_tables`."""
    label = label_column(next(iter(tables.values())), label)
    for raw in tables.values():
        if label not in raw.columns:
            expected, fix = f"{label}, as in the other part", "give both parts the column of labels"
            raise DataError(explain(f"columns of {raw.source}", got="none of that name", expected=expected, fix=fix))
        texts_of_labels(raw, label, declared.classes if declared else ())
    chosen = parted(name, tables, splits, label, fraction=fraction, group=group)
    known = chosen.get("train", next(iter(chosen.values())))
    aside = tuple(name for name in (group, *ignore) if name)
    schema, remarks = declared, list[str]()
    if schema is None:
        schema, remarks = proposed_for(known, label, ignore=aside)
        remarks.append("a real round declares its columns (`collabdm schema`, then `collabdm plan --schema`)")
        told = f"{name}: {len(schema.columns)} columns as its train part has them; {'; '.join(remarks)}"
        warnings.warn(DataWarning(told), stacklevel=4)
    classes = schema.classes or classes_of(known.source, label, texts_of_labels(known, label))
    parts, readings = dict[str, Samples](), dict[str, Reading]()
    for split, raw in chosen.items():
        parts[split], readings[split] = _samples(raw, label, schema, classes, () if declared is None else aside)
        if declared is None:
            # What the proposal leaves out is told with it.
            readings[split] = replace(readings[split], passed=(), written={})
        readings[split].tell(raw.source)
    empty = parts[next(iter(parts))].take([])
    return Dataset(
        name=name,
        train=parts.get("train", empty),
        test=parts.get("test", empty),
        preset=table_preset(name, schema, classes),
        columns=chosen["train"].columns if "train" in chosen else {},
        reading={"read": {split: len(part) for split, part in parts.items()}, "passed_over": {}, **_told(readings)},
    )


def proposed_for(raw: RawTable, label: str, *, ignore: Sequence[str] = ()) -> tuple[TableSchema, list[str]]:
    """A schema for the rows of `raw`, and what must be told of it, without what a person would not call a feature."""
    strange = [name for name in ignore if name not in raw.columns and name not in raw.passed]
    if strange:
        # A name that is not there would leave in what was to be left out, perhaps the answer itself.
        got, expected = listed(strange), f"among {listed([*raw.columns, *raw.passed], 30)}"
        what = f"columns that are set aside (--ignore, --site, partition.column), of {raw.source}"
        raise DataError(explain(what, got=got, expected=expected, fix="correct the name"))
    aside = [*ignore, *(name for name in raw.columns if name.casefold() == SPLIT)]
    schema, left_out, remarks = proposed_schema(raw, label, aside=aside)
    if left_out:
        remarks.append(f"left out: {listed([f'{name} ({why})' for name, why in left_out.items()])}")
    return schema, remarks


def _samples(
    raw: RawTable, label: str, schema: TableSchema, classes: tuple[str, ...], aside: Sequence[str]
) -> tuple[Samples, Reading]:
    if label in {column.name for column in schema.columns}:
        expected, fix = "a column that is no feature", "take it out of the schema, or name another label"
        raise DataError(explain(f"label column of {raw.source}", got=label, expected=expected, fix=fix))
    values, reading = rows_by(schema.columns, raw, aside=(label, *aside))
    labels = labels_in(raw, label, texts_of_labels(raw, label, schema.classes), classes)
    return Samples(values=values, labels=labels, classes=classes), reading


def _told(readings: Mapping[str, Reading]) -> dict[str, Any]:
    """What was read otherwise than it is written, plain JSON, for the metrics of a run."""
    found: dict[str, Any] = {}
    for split, reading in readings.items():
        for what in ("clipped", "unknown", "missing", "marks", "written"):
            if counts := getattr(reading, what):
                found.setdefault(what, {})[split] = dict(counts)
        if reading.passed:
            found.setdefault("columns_passed_over", list(reading.passed))
    return found


def _hub_tables(source: str) -> Mapping[str, RawTable]:
    """The parts of a table on the hub, or that the `datasets` library finds otherwise."""
    import datasets

    from collabdm.data.library import unreadable

    repository, _, config = source.partition(":")
    if "/" not in repository or repository.count("/") > 1 or Path(repository).suffix:
        expected = f"{', '.join(BUILTIN)}, a CSV, TSV or parquet file, a folder of these, or a hub table owner/name"
        raise DataError(explain(f"table {source}", got="no such file", expected=expected, fix="check the path"))
    with quietly():
        try:
            loaded: Any = datasets.load_dataset(repository, config or None)
        except Exception as error:
            raise unreadable(source, error) from error
    return {str(part): raw_table(_plain(one), f"{source}, {part}") for part, one in loaded.items()}


def _plain(table: Any) -> Any:
    """Arrow's table of a part, class labels as their names."""
    import datasets
    import pyarrow as pa

    found = table.with_format("arrow")[:]
    for name, feature in table.features.items():
        if isinstance(feature, datasets.ClassLabel):
            names = [feature.int2str(y) if y is not None and y >= 0 else None for y in found.column(name).to_pylist()]
            found = found.set_column(found.column_names.index(name), name, pa.array(names, pa.string()))
    return found
