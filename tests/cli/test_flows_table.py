import json
from pathlib import Path

import pytest

from cli.conftest import assert_refused, run
from collabdm.data.tabular.schema import read_schema
from collabdm.distilled.set import load
from collabdm.protocol import decode_plan
from data.flows.tiny_flows import HEADER, ROW, write_csv, write_schema

SMALL = (
    *("--set", "plan.seeds=3", "--set", "plan.batch=8", "--set", "local.iterations=3", "--set", "server.passes=1"),
    *("--set", 'plan.network={name="random-features",width=16}', "--ipc", "1"),
)
JUDGED = ("--set", "evaluate.count=2", "--set", 'evaluate.networks=[{name="mlp",width=8,depth=1}]')
KINDS = ("ok", "scan", "flood", "odd")


def rows(station: str, count: int = 48) -> list[str]:
    """Flows that differ by kind in every column; another station is at the end."""
    states = ("CON", "FIN", "RST", "NEW")
    return [
        f"{n},{n % 4 + 0.01 * n},{64 * (n % 4)},{80 + n % 4},{states[n % 4]},tcp,x,{KINDS[n % 4]},{station}"
        for n in range(count)
    ]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A table of two stations that a column names."""
    station = {"kind": "column", "names": ["north", "south"], "column": "where"}
    columns = json.loads(write_schema(tmp_path / "s.json").read_text())["columns"]
    schema = write_schema(tmp_path / "s.json", columns=[*columns, {"name": "where", "kind": "drop"}], station=station)
    csv = write_csv(tmp_path / "flows.csv", *rows("north"), *rows("south"), header=f"{HEADER},where")
    outcome = run("flows", "to-table", csv, "--schema", schema, "--out", tmp_path / "table")
    assert (outcome.code, outcome.err) == (0, ""), outcome.err
    assert "3 numeric, 2 categorical; 1 leaking ones left out" in outcome.out
    return tmp_path / "table"


@pytest.mark.parametrize(
    "method", ["collabdm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("k-fed", "local-dm"))]
)
def test_a_round_by_stations_is_held_on_the_table(method: str, made: Path, tmp_path: Path) -> None:
    command = ("simulate", "--dataset", made, "--site", "station", *SMALL, *JUDGED, "--engine", "eager", "--quiet")
    outcome = run(*command, "--method", method, "--out", tmp_path / "run", "--json")
    assert (outcome.code, outcome.err) == (0, ""), outcome.err
    assert sorted(outcome.json["bytes"]["up"]) == ["north", "south"]
    distilled = load(tmp_path / "run" / "distilled")
    assert distilled.classes == ("benign", "scan", "other")
    assert distilled.facts["flows"] == json.loads((made / "flows.json").read_text())["settings"]
    assert "synthetic_flows" not in distilled.facts


def test_a_plan_takes_the_schema_or_the_file_of_facts_and_sites_answer_it(made: Path, tmp_path: Path) -> None:
    plans = []
    for name, source in (("a", ("--schema", made / "schema.json")), ("b", ("--dataset", made / "flows.json"))):
        asked = run("plan", *source, "--clients", "north,south", *SMALL, "--out", tmp_path / f"{name}.json")
        assert asked.code == 0, asked.err
        plans.append(decode_plan((tmp_path / f"{name}.json").read_bytes()))
    declared = read_schema(made / "schema.json")
    for plan in plans:
        assert plan.classes == ("benign", "scan", "other")
        assert plan.sample.columns == declared.columns  # pyright: ignore
    sent = tmp_path / "north.safetensors"
    outcome = run("contribute", tmp_path / "a.json", "--client", "north", "--dataset", made, "--out", sent)
    assert outcome.code == 0, outcome.err
    assert sent.is_file()


def test_a_table_is_replaced_only_by_force(tmp_path: Path) -> None:
    schema = write_schema(tmp_path / "s.json")
    source = write_csv(tmp_path / "flows.csv", *[ROW] * 20)
    command = ("flows", "to-table", source, "--schema", schema, "--out", tmp_path / "out")
    first = run(*command, "--json")
    assert first.json["flows"]["total"] == {"benign": 20, "scan": 0, "other": 0}
    assert first.json["flows"]["test"]["benign"] == {"1": 4}
    assert first.json["features"] == 5
    assert "no flow of scan, other" in first.err
    assert_refused(run(*command), "--force")
    assert run(*command, "--force", "--keep-leaking", "--json").json["features"] == 6
    # Images may take its place, and a table theirs.
    images = run("flows", "to-images", *command[2:], "--force")
    assert images.code == 0, images.err
    assert not (tmp_path / "out" / "schema.json").exists()
    assert run(*command, "--force").code == 0
    write_csv(source, ROW, "nonsense")
    assert_refused(run(*command, "--force"), "line 3")
    assert (tmp_path / "out" / "schema.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [(("--schema", "6g"), "6g"), (("--test", "0.7"), "--test"), (("--test-file", "flows.csv"), "training file")],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    arguments: tuple[str, ...], mentions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_schema(tmp_path / "s.json")
    write_csv(tmp_path / "flows.csv", *[ROW] * 8)
    asked = arguments if "--schema" in arguments else ("--schema", "s.json", *arguments)
    assert_refused(run("flows", "to-table", "flows.csv", *asked, "--out", "out"), mentions)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flows.csv", "s.json"]
