import json
from pathlib import Path

import numpy as np
import pytest

from collabdm.data import load_dataset, load_samples, modality_of
from collabdm.data.flows.chunk import joined
from collabdm.data.flows.facts import flow_facts, flow_preset
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.rows import RowSettings
from collabdm.data.flows.split import test_side as side_of
from collabdm.data.flows.table import save_table, table_of
from collabdm.errors import ConfigError, DataError, DataWarning
from collabdm.tables.modality import Tables
from data.flows.tiny_flows import TINY, tiny_schema, write_csv

STATIONS = {"kind": "rows", "names": ["north", "south"], "edges": [130]}
KINDS = ["ok", "scan", "flood", "odd"]


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    rows = [
        f"{n},{n % 7},{n % 256 if n % 5 else ''},{n},{('FIN', 'NEW', 'CON')[n % 3]},tcp,x,{KINDS[n // 10 % 4]}"
        for n in range(260)
    ]
    return write_csv(tmp_path / "flows.csv", *rows)


def saved(source: Path, folder: Path, **given: object) -> RowSettings:
    settings = RowSettings(flow_schema=tiny_schema(station=STATIONS))
    save_table(table_of(source, settings, **given), folder, source={"file": source.name, "synthetic": True})  # pyright: ignore
    return settings


def test_the_table_that_is_loaded_is_the_flows_of_the_file(tmp_path: Path, flows: Path) -> None:
    settings = saved(flows, tmp_path / "rows", test_share=0.2)
    assert modality_of(str(tmp_path / "rows")) == "tables"
    data = load_dataset(str(tmp_path / "rows"), options={"ignore": ("station",)})
    everything = joined(list(read_flows(flows, settings.flow_schema, form="rows")))
    assert everything.types is not None
    test = side_of(everything.stations, everything.types, size=1, share=0.2)
    assert (int(test.sum()), len(test)) == (52, 260)
    for samples, side in ((data.train, ~test), (data.test, test)):
        np.testing.assert_array_equal(samples.values, everything.values[side])
        assert samples.labels.tolist() == [settings.flow_schema.class_of_type[y] for y in everything.types[side]]
        assert samples.classes == settings.flow_schema.class_names
    stations = [STATIONS["names"][y] for y in everything.stations[~test]]
    assert data.columns["station"].tolist() == stations
    assert data.facts == {"flows": settings.model_dump(mode="json"), "synthetic_flows": True}
    assert data.preset == flow_preset(tmp_path / "rows")
    assert Tables.model_validate(data.preset.sample).columns == settings.table.columns
    # Nothing is clipped, unknown or missing a second time, and no column is passed over.
    assert set(data.reading) == {"read", "passed_over"}


def test_all_declared_classes_are_there_though_the_training_part_lacks_one(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "a.csv", *["1,0.5,64,80,CON,tcp,x,ok"] * 4)
    test = write_csv(tmp_path / "b.csv", *["1,0.5,64,80,CON,tcp,x,flood"] * 2, "1,0.5,64,80,CON,tcp,x,ok")
    saved(train, tmp_path / "rows", test_path=test)
    data = load_dataset(str(tmp_path / "rows"), options={"ignore": ("station",)})
    assert data.train.counts().tolist() == [4, 0, 0]
    assert data.test.counts().tolist() == [1, 0, 2]
    told = json.loads((tmp_path / "rows" / "flows.json").read_text())
    assert told["flows"]["test"]["other"] == {"test file": 2}
    assert told["notes"] == [
        "no flow to train on of other (0 to train on, 2 to test on; 2 flows)",
        "fewer than 10 flows of benign (4 to train on, 1 to test on; 5 flows)",
        "no flow of scan",
    ]


def test_other_columns_or_labels_are_no_rows_of_flows(tmp_path: Path, flows: Path) -> None:
    folder = tmp_path / "rows"
    saved(flows, folder)
    declared = json.loads((folder / "schema.json").read_text())
    (tmp_path / "fewer.json").write_text(json.dumps(declared | {"columns": declared["columns"][1:]}))
    with pytest.warns(DataWarning, match="passed over"):
        data = load_dataset(str(folder), splits=("train",), options={"schema": str(tmp_path / "fewer.json")})
    assert data.facts == {}
    sample = Tables.model_validate(data.preset.sample)
    with pytest.warns(DataWarning, match="passed over"):
        assert load_samples(str(folder), sample=sample).shape == (4,)


def test_facts_alone_make_a_plan_and_no_data(tmp_path: Path, flows: Path) -> None:
    settings = saved(flows, tmp_path / "rows")
    file = tmp_path / "rows" / "flows.json"
    preset = flow_preset(file)
    assert preset is not None
    assert preset == flow_preset(tmp_path / "rows")
    assert (preset.name, preset.classes, preset.shape) == ("rows", ("benign", "scan", "other"), (5,))
    assert Tables.model_validate(preset.sample).columns == settings.table.columns
    assert modality_of(str(file)) == "tables"
    with pytest.raises(DataError, match="pass the folder"):
        load_dataset(str(file))
    # Without the key that says of what kind they are, settings are of neither.
    fields = json.loads(file.read_text())
    del fields["settings"]["kind"]
    file.write_text(json.dumps(fields))
    with pytest.raises(DataError, match="to-table"):
        flow_facts(file)


def test_a_schema_that_makes_no_table_writes_nothing(tmp_path: Path, flows: Path) -> None:
    columns = [dict(one, name="d\x07" if one["name"] == "dur" else one["name"]) for one in TINY["columns"]]
    with pytest.raises(ConfigError, match="rename"):
        table_of(flows, RowSettings(flow_schema=tiny_schema(columns=columns)))
    with pytest.raises(ConfigError, match="--test-file"):
        table_of(flows, RowSettings(flow_schema=tiny_schema()), test_path=flows)
