"""Synthetic rows as other programs read them: under the names of columns, levels and classes."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from collabdm.data.tabular.column import Column
from collabdm.data.tabular.schema import TableSchema, schema_bytes
from collabdm.storage.files import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_table", "table_bytes", "write_rows"]


def arrow_table(
    columns: Sequence[Column], label: str, values: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> "pa.Table":
    """Stored rows [n, columns] as a table of Arrow's: numbers (whole ones as int64), levels and the label as texts."""
    import pyarrow as pa

    arrays = {column.name: _array(column, values[:, place]) for place, column in enumerate(columns)}
    arrays[label] = pa.array([classes[y] for y in labels.tolist()], pa.string())
    return pa.table(arrays)


def table_bytes(table: "pa.Table", format: str) -> bytes:
    """The file, `csv` or `parquet`, the same for the same table."""
    from pyarrow import csv, parquet

    buffer = io.BytesIO()
    if format == "csv":
        csv.write_csv(table, buffer)
    else:
        parquet.write_table(table, buffer)
    return buffer.getvalue()


def write_rows(path: Path, table: "pa.Table", columns: tuple[Column, ...], label: str) -> None:
    """`rows.csv` and `rows.parquet`, the same rows twice, and the schema by which they are read."""
    path.mkdir(exist_ok=True)
    for format in ("csv", "parquet"):
        write_atomically(path / f"rows.{format}", table_bytes(table, format))
    write_atomically(path / "schema.json", schema_bytes(TableSchema(label=label, columns=columns)))


def _array(column: Column, values: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    missing = np.isnan(values)
    if column.kind == "categorical":
        texts = [None if absent or y < 0 else column.levels[int(y)] for y, absent in zip(values, missing, strict=True)]
        return pa.array(texts, pa.string())
    if column.integer and np.abs(values[~missing]).max(initial=0) < 2**53:
        return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)
    # As many digits as 32 bits hold: what the rows were made with.
    return pa.array(np.array([float(f"{value:.7g}") for value in values.tolist()]), mask=missing)
