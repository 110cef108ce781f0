"""From a CSV of flows to a table on disk that every other command reads: a flow is a row.

A folder: `train.parquet` and `test.parquet` with the columns of the schema, the class and the station; `schema.json`,
which declares the columns; and `flows.json`, the settings that made the rows, the counts, and what was repaired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from collabdm.data.flows.chunk import FlowChunk, joined
from collabdm.data.flows.facts import FLOWS_FILE
from collabdm.data.flows.notes import notes
from collabdm.data.flows.official_test import check_test_file, schema_of_test_file
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.rows import RowSettings
from collabdm.data.flows.split import for_testing, test_side
from collabdm.data.flows.tally import Tally
from collabdm.data.tabular.column import Column
from collabdm.data.tabular.schema import SCHEMA_FILE, schema_bytes
from collabdm.storage.files import built_folder, write_atomically, write_json

__all__ = ["FlowTable", "save_table", "table_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowTable:
    """n flows as rows: those for training, then those for testing, each in their file's order.

    `values` float32 [n, columns] as stored rows, `labels` int64 [n] (classes), `stations` text [n], `test` bool [n];
    `tally` is what reading repaired. With a test file, `test_tally` is that of its own, and `test_stations` names the
    stations of its flows.
    """

    settings: RowSettings
    values: np.ndarray
    labels: np.ndarray
    stations: np.ndarray
    test: np.ndarray
    tally: Tally
    test_tally: Tally | None = None
    test_stations: tuple[str, ...]

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Flows by part (`train`, `test`), class and station."""
        names = self.settings.table.classes
        return {
            part: {
                name: {site: int(np.sum(side & (self.labels == y) & (self.stations == site))) for site in sites}
                for y, name in enumerate(names)
            }
            for part, side, sites in (
                ("train", ~self.test, self.settings.flow_schema.station.names),
                ("test", self.test, self.test_stations),
            )
        }


def table_of(path: Path, settings: RowSettings, *, test_share: float = 0.0, test_path: Path | None = None) -> FlowTable:
    """Read a labelled CSV, and share its flows between training and testing as `images_of` does for windows of one.

    With `test_path`, its flows are those for testing, and all of `path` is for training. A station rule by rows is of
    the training file alone; the test file is then one station.

    Raises `DataError` for a file that the schema does not describe, `ConfigError` for settings that do not fit together
    or a schema that makes no table.
    """
    for_testing(0, test_share)
    schema, tally = settings.flow_schema, Tally()
    _ = settings.table
    if test_path is not None:
        check_test_file(path, test_path, test_share)
    flows = _read(path, settings, tally)
    assert flows.types is not None
    if test_path is None:
        test = test_side(flows.stations, flows.types, size=1, share=test_share)
        sides, names, test_tally = [flows.take(~test), flows.take(test)], [schema.station.names] * 2, None
    else:
        test_tally, other = Tally(), schema_of_test_file(schema)
        tested = _read(test_path, settings.model_copy(update={"flow_schema": other}), test_tally)
        sides, names = [flows, tested], [schema.station.names, other.station.names]
    types = np.concatenate([side.types for side in sides if side.types is not None])
    return FlowTable(
        settings=settings,
        values=np.concatenate([side.values for side in sides]),
        labels=np.array(schema.class_of_type, np.int64)[types],
        stations=np.concatenate([np.array(own)[side.stations] for own, side in zip(names, sides, strict=True)]),
        test=np.repeat([False, True], [len(side) for side in sides]),
        tally=tally,
        test_tally=test_tally,
        test_stations=names[1],
    )


def save_table(made: FlowTable, folder: Path, *, source: dict[str, Any], replace: bool = False) -> dict[str, Any]:
    """Write the folder as a whole or not at all; `source` is what is known of the CSV. Returns what `flows.json` holds.

    With `replace`, what was there before goes when the new one is whole.
    """
    table = made.settings.table
    per_class = np.bincount(made.labels, minlength=len(table.classes))
    facts = {
        "source": source,
        "flows": {"total": dict(zip(table.classes, per_class.tolist(), strict=True)), **made.counts()},
        "features": len(table.columns),
        "label_column": table.label,
        "station_column": made.settings.station_column,
        "notes": notes(made.labels, made.test, per_class, made.settings),
        "read": made.tally.facts(),
        **({} if made.test_tally is None else {"read_test": made.test_tally.facts()}),
        "settings": made.settings.model_dump(mode="json"),
    }
    with built_folder(folder, replace=replace) as building:
        for part, rows in (("train", np.flatnonzero(~made.test)), ("test", np.flatnonzero(made.test))):
            if len(rows):
                pq.write_table(_arrow(made, rows), building / f"{part}.parquet", compression="zstd")
        write_atomically(building / SCHEMA_FILE, schema_bytes(table))
        write_json(building / FLOWS_FILE, facts)
    return facts


def _read(path: Path, settings: RowSettings, tally: Tally) -> FlowChunk:
    chunks = read_flows(path, settings.flow_schema, keep_leaking=settings.keep_leaking, form="rows", tally=tally)
    return joined(list(chunks))


def _arrow(made: FlowTable, rows: np.ndarray) -> pa.Table:
    table = made.settings.table
    columns = {column.name: _cells(column, made.values[rows, place]) for place, column in enumerate(table.columns)}
    columns[table.label] = _texts(table.classes, made.labels[rows])
    columns[made.settings.station_column] = pa.array(made.stations[rows].tolist(), pa.string()).dictionary_encode()
    return pa.table(columns)


def _cells(column: Column, values: np.ndarray) -> pa.Array:
    absent = np.isnan(values)
    if column.kind == "categorical":
        return _texts(column.levels, np.where(absent, 0, values).astype(np.int64), absent)
    # Whole numbers stay so when people read them; 32 bits hold them exactly.
    kind = pa.int64() if column.integer else pa.float32()
    return pa.array(np.where(absent, 0, values).astype(kind.to_pandas_dtype()), mask=absent)


def _texts(levels: Sequence[str], places: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
    codes = pa.array(places.astype(np.int32), mask=absent)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(levels), pa.string()))
