"""Flows in a table that a classifier reads by its own declared columns: nothing else need be known of them."""

from pathlib import Path
from typing import Any

import numpy as np

from collabdm.data.flows.chunk import FlowChunk
from collabdm.data.tabular.files import tables_of
from collabdm.data.tabular.rows import rows_by
from collabdm.tables.modality import Tables

__all__ = ["rows_in"]


def rows_in(path: Path, sample: Tables) -> tuple[FlowChunk, dict[str, Any]]:
    """All rows of a CSV, TSV or parquet file, in its order, and what was read otherwise than it is written: `clipped`,
    `unknown` levels and `undeclared` missing values by column, and the `ignored_columns`; all as plain JSON.

    Raises `DataError` for a file that lacks a declared column, or has a text where a number should be.
    """
    (raw,) = tables_of(path).values()
    values, reading = rows_by(sample.columns, raw, aside=(sample.label,))
    count = len(values)
    chunk = FlowChunk(
        values=values, types=None, stations=np.zeros(count, np.int64), lines=np.arange(count, dtype=np.int64) + 2
    )
    counts = {"clipped": reading.clipped, "unknown": reading.unknown, "undeclared": reading.missing}
    told = {kind: dict(by_column) for kind, by_column in counts.items() if by_column}
    return chunk, {"rows": count, "ignored_columns": list(reading.passed), **told}
