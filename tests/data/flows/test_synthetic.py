import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from collabdm.data.flows.schema import load_schema
from collabdm.data.flows.synthetic import Block, full_blocks, is_synthetic, scaled, write_flows
from collabdm.errors import ConfigError

# Per station, as reported of Combined.csv.
REPORTED = {
    "Benign": (406959, 70778),
    "SYNScan": (10019, 10024),
    "TCPConnectScan": (10022, 10030),
    "UDPScan": (7887, 8019),
    "ICMPFlood": (613, 542),
    "UDPFlood": (175811, 281529),
    "SYNFlood": (4792, 4929),
    "HTTPFlood": (76121, 64691),
    "SlowrateDoS": (36092, 37032),
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_full_blocks_have_the_reported_flows_of_every_type_and_station() -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for block in full_blocks():
        counts["Benign", block.station] += block.benign
        counts[block.type, block.station] += block.malicious
    assert {level: (counts[level, "1"], counts[level, "2"]) for level in REPORTED} == REPORTED
    assert sum(counts.values()) == 1_215_890


@pytest.mark.parametrize("rows", [1, 7, 1000, 1_215_890])
def test_scaled_blocks_have_exactly_so_many_rows(rows: int) -> None:
    blocks = scaled(full_blocks(), rows)
    assert sum(block.benign + block.malicious for block in blocks) == rows
    if rows == 1_215_890:
        assert blocks == full_blocks()
    with pytest.raises(ConfigError, match="--rows"):
        scaled(full_blocks(), 0)


def test_columns_levels_and_flows_are_those_of_the_schema(tmp_path: Path) -> None:
    path, schema = tmp_path / "flows.csv", load_schema("5g-nidd")
    blocks = scaled(full_blocks(), 3000)
    facts = write_flows(path, blocks=blocks, seed=0)
    rows = rows_of(path)
    assert [name or "Unnamed: 0" for name in rows[0]] == [column.name for column in schema.columns]
    for column in schema.columns:
        found = {row["" if column.name == "Unnamed: 0" else column.name] for row in rows}
        if column.levels:
            assert found <= {*column.levels, *([""] if column.missing is not None else [])}, column.name
        if column.missing is None and column.kind != "drop":
            assert "" not in found, column.name
    expected: Counter[str] = Counter()
    for block in blocks:
        expected["Benign"] += block.benign
        expected[block.type] += block.malicious
    assert Counter(row["Attack Type"] for row in rows) == +expected
    assert sum(sum(levels.values()) for levels in facts["flows"].values()) == 3000
    for row in rows:
        assert row["Label"] == ("Benign" if row["Attack Type"] == "Benign" else "Malicious")
        assert len({row[name] for name in ("Dur", "RunTime", "Mean", "Sum", "Min", "Max")}) == 1
        for total, source, reply in (("TotPkts", "SrcPkts", "DstPkts"), ("TotBytes", "SrcBytes", "DstBytes")):
            assert float(row[total]) == float(row[source]) + float(row[reply])
        # What the reply's header says is missing together, as is all that only TCP has.
        assert len({row[name] == "" for name in ("dTos", "dDSb", "dTtl", "dHops")}) == 1
        assert len({row[name] == "" for name in ("SrcGap", "DstGap", "SrcTCPBase")} | {row["Proto"] != "tcp"}) == 1


def test_types_behave_unlike_each_other(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    write_flows(path, blocks=scaled(full_blocks(), 20_000), seed=3)
    by_type: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(path):
        by_type.setdefault(row["Attack Type"], []).append(row)

    def median(level: str, column: str) -> float:
        return float(np.median([float(row[column]) for row in by_type[level]]))

    assert median("SlowrateDoS", "Dur") > median("HTTPFlood", "Dur") > 100 * median("SYNScan", "Dur")
    assert median("ICMPFlood", "TotPkts") > 20 * median("UDPFlood", "TotPkts")
    assert {row["State"] for row in by_type["SYNScan"]} == {"RST", "REQ", "ACC"}


def test_the_file_is_labelled_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    blocks = [Block(station="1", benign=20, type="SYNScan", malicious=5, tool="Nmap")]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_flows(tmp_path / name, blocks=blocks, seed=seed)
    contents = [(tmp_path / name).read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]
    label = json.loads((tmp_path / "a.synthetic.json").read_text())
    assert label["synthetic"] is True
    assert "not 5G-NIDD" in label["note"]
    assert label["flows"] == {"1": {"Benign": 20, "SYNScan": 5}}
    assert is_synthetic(tmp_path / "a")
    assert not is_synthetic(tmp_path / "d")


def test_an_unknown_type_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    block = Block(station="1", benign=1, type="Flood9", malicious=1, tool="Nmap")
    with pytest.raises(ConfigError, match="Flood9"):
        write_flows(tmp_path / "a", blocks=[block], seed=0)
    assert list(tmp_path.iterdir()) == []
