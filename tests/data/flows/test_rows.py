import math
from pathlib import Path

import numpy as np
import pytest

from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.rows import RowSettings
from collabdm.data.flows.schema import load_schema, schema_names
from collabdm.data.flows.tally import Tally
from collabdm.data.tabular.column import LARGEST
from collabdm.errors import ConfigError
from collabdm.tables.modality import Tables
from data.flows.tiny_flows import TINY, tiny_schema, write_csv


def settings(**changes: object) -> RowSettings:
    return RowSettings(flow_schema=tiny_schema(**changes))


def columns_with(name: str, **changes: object) -> list[dict[str, object]]:
    return [one | changes if one["name"] == name else one for one in TINY["columns"]]


def test_columns_are_declared_as_the_flow_schema_declares_them() -> None:
    table = settings().table
    assert (table.label, table.classes) == ("label", ("benign", "scan", "other"))
    declared = [column.model_dump(exclude_defaults=True) for column in table.columns]
    assert declared == [
        {"name": "dur", "kind": "numeric", "transform": "asinh", "scale": 0.01, "low": 0.0, "high": 100.0},
        {"name": "ttl", "kind": "numeric", "low": 0.0, "high": 255.0, "missing": True},
        {"name": "port", "kind": "numeric", "low": 0.0, "high": 65535.0, "integer": True},
        {"name": "state", "kind": "categorical", "levels": ("CON", "FIN", "RST", "other")},
        {"name": "proto", "kind": "categorical", "levels": ("tcp", "udp")},
    ]


@pytest.mark.parametrize("name", schema_names())
@pytest.mark.parametrize("keep", [False, True])
def test_a_table_has_the_columns_that_an_image_shows(name: str, keep: bool) -> None:
    schema = load_schema(name)
    made = RowSettings(flow_schema=schema, keep_leaking=keep)
    shown = [column.name for column in schema.features(keep_leaking=keep)]
    assert [column.name for column in made.table.columns] == shown
    assert schema.label.name not in shown
    assert not {schema.time, schema.host} & set(shown)
    # A plan takes it.
    Tables(label=made.table.label, columns=made.table.columns).check_plan()


def test_cells_are_numbers_within_range_places_of_levels_and_nan(tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "f.csv", "1,1e9,64,0x50,FIN,udp,x,ok", "2,inf,,80,ODD,tcp,x,scan", "3,-2,300,1,CON,tcp,x,ok"
    )
    tally = Tally()
    (chunk,) = read_flows(source, tiny_schema(), form="rows", tally=tally)
    expected = [[100, 64, 80, 1, 1], [100, math.nan, 80, 3, 0], [0, 255, 1, 0, 0]]
    np.testing.assert_array_equal(chunk.values, np.array(expected, np.float32))
    found = tally.facts()
    assert found["clipped"] == {"dur": 3, "ttl": 1}
    assert (found["missing"], found["other"], found["ports"]) == ({"ttl": 1}, {"state": 1}, {"port": 1})


@pytest.mark.parametrize("high", [1e11 + 7, 16_777_217.0, 0.1, 3e17])
def test_no_number_is_beyond_its_range_once_it_has_32_bits(tmp_path: Path, high: float) -> None:
    schema = tiny_schema(columns=columns_with("dur", low=-high, high=high))
    source = write_csv(tmp_path / "f.csv", "1,1e30,64,80,FIN,udp,x,ok", "2,-1e30,64,80,FIN,udp,x,ok")
    (chunk,) = read_flows(source, schema, form="rows")
    ends = chunk.values[:, 0].astype(np.float64)
    assert ends[0] <= high
    assert ends[1] >= -high
    np.testing.assert_allclose(ends, [high, -high], rtol=1e-6)


def test_a_range_beyond_what_a_table_may_have_ends_there(tmp_path: Path) -> None:
    schema = tiny_schema(columns=columns_with("dur", high=1e30))
    assert RowSettings(flow_schema=schema).table.columns[0].high == LARGEST
    source = write_csv(tmp_path / "f.csv", "1,1e29,64,80,FIN,udp,x,ok")
    (chunk,) = read_flows(source, schema, form="rows")
    assert chunk.values[0, 0] <= np.float64(LARGEST)


def test_what_readers_of_tables_take_for_nothing_has_another_name() -> None:
    levels = ["none", "(none)", "NA", "-", "?", "other", ""]
    made = settings(columns=columns_with("state", levels=levels), classes=dict(TINY["classes"], ok="None"))
    (state,) = [column for column in made.table.columns if column.name == "state"]
    assert state.levels == ("((none))", "(((none)))", "((NA))", "-", "(?)", "other", "((empty))", "(other)")
    assert made.table.classes == ("((None))", "scan", "other")
    assert made.benign == "((None))"


def test_labels_and_stations_are_called_as_no_feature_is() -> None:
    columns = [
        dict(one, name={"dur": "Label", "ttl": "station", "port": "site"}.get(one["name"], one["name"]))
        for one in TINY["columns"]
    ]
    made = settings(columns=columns)
    assert (made.table.label, made.station_column) == ("class", "site_")


def test_names_that_no_table_could_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="rename it in the schema") as refused:
        _ = settings(columns=columns_with("state", levels=["CON", "F\x07N"])).table
    assert "\n" not in str(refused.value)


def test_the_digest_is_of_all_that_a_row_depends_on() -> None:
    plain = settings()
    assert plain.digest() == settings().digest()
    assert plain.digest() != RowSettings(flow_schema=tiny_schema(), keep_leaking=True).digest()
