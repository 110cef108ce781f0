"""Tables that are in memory already: frames of pandas, polars and pyarrow."""

import os
from collections.abc import Sequence
from typing import Any

from collabdm.data.options import check_options
from collabdm.data.samples import Dataset
from collabdm.data.tabular.files import WHOLE
from collabdm.data.tabular.raw import RawTable, check_distinct, raw_table
from collabdm.data.tabular.reader import dataset_of_tables, read_tables
from collabdm.data.tabular.schema import TableSchema, read_schema
from collabdm.errors import ConfigError, DataError, explain

__all__ = ["load_table"]


def load_table(
    table: Any,
    *,
    label: str | None = None,
    test: Any = None,
    test_fraction: float | None = None,
    group: str | None = None,
    schema: Any = None,
    ignore: Sequence[str] = (),
    name: str = "table",
) -> Dataset:
    """A data set of a frame (pandas, polars, pyarrow), or of a path as `load_dataset` takes one.

    `label`: the column of labels, by default one that is usually called so. `test`: a frame of test rows;
    `test_fraction` of the rows are for testing instead, whole values of the column `group` where there is one; with
    neither there is no test part. `schema`: the declared columns: a `TableSchema`, a file of one, or the description
    that a plan or a distilled set has of its samples (`plan.sample`), by which a site reads its rows; without it they
    are proposed from the train part, which is told in a `DataWarning`. `ignore`: columns that are no features. `name`:
    of the data set.

    Raises:
        DataError: unreadable or unusable data; the message says which row and column.
        ConfigError: a schema that is none, or options that do not go together.
    """
    is_path = isinstance(schema, str | os.PathLike)
    check_options({"test_fraction": test_fraction, "ignore": ignore})
    if schema is not None and not is_path and not hasattr(schema, "columns"):
        expected, fix = "a TableSchema, its file, or plan.sample", "write the columns to a file, and pass its path"
        raise ConfigError(explain("schema", got=f"a {type(schema).__name__}", expected=expected, fix=fix))
    if isinstance(table, str | os.PathLike) and test is None:
        splits = ("train", "test") if test_fraction is not None or not os.path.isfile(table) else ("train",)
        return read_tables(
            os.fspath(table),
            splits,
            label=label,
            schema=os.fspath(schema) if is_path else None,
            test_fraction=test_fraction,
            group=group,
            ignore=ignore,
            sample=None if is_path else schema,
        )
    declared = read_schema(os.fspath(schema)) if isinstance(schema, str | os.PathLike) else schema
    if declared is not None:
        declared = TableSchema(label=declared.label, columns=declared.columns)
    parts = {WHOLE: _frame(table, name)} if test is None else {"train": _frame(table, name), "test": _frame(test, name)}
    both = test is not None or test_fraction is not None
    if declared is not None and label is None and declared.label in next(iter(parts.values())).columns:
        label = declared.label
    return dataset_of_tables(
        name,
        parts,
        ("train", "test") if both else ("train",),
        label=label,
        declared=declared,
        fraction=test_fraction,
        group=group,
        ignore=ignore,
    )


def _frame(frame: Any, source: str) -> RawTable:
    """A frame of pandas, polars or pyarrow, or whatever else Arrow takes for a table, as columns.

    Raises `DataError` for what is none.
    """
    import pyarrow as pa

    try:
        if isinstance(frame, str | os.PathLike):
            raise TypeError("a path beside a frame; read both with load_dataset")
        if isinstance(frame, pa.Table):
            table = frame
        elif hasattr(frame, "to_arrow"):
            table = frame.to_arrow()
        elif type(frame).__module__.split(".")[0] == "pandas" and hasattr(frame, "columns"):
            check_distinct([str(name).strip() for name in frame.columns], source)
            # An index numbers the rows, or is none of the columns.
            table = pa.Table.from_pandas(frame, preserve_index=False)
        else:
            table = pa.table(frame)
    except (TypeError, ValueError, AttributeError, OverflowError, pa.ArrowException) as error:
        expected = "a path, or a frame of pandas, polars or pyarrow with one type of values in each column"
        got, fix = f"a {type(frame).__name__} ({str(error)[:120]})", "convert it"
        raise DataError(explain(source, got=got, expected=expected, fix=fix)) from None
    return raw_table(table, source)
