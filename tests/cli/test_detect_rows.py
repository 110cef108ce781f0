import json
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import Outcome, assert_refused, run
from collabdm.classifiers.file import Classifier, load_classifier
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.schema import load_schema
from flow_classifiers import HEADER, write_flows

SMALL = (
    *("--set", "plan.seeds=3", "--set", "plan.batch=16", "--set", "local.method=gmm", "--set", "server.passes=1"),
    *("--set", 'plan.network={name="random-features",width=32}', "--ipc", "5", "--method", "collabdm"),
    *("--set", "plan.statistics=mean,gram"),
    *("--set", 'plan.features={name="random-features",width=64}', "--engine", "eager", "--quiet"),
)
NETWORK = (
    *("--set", 'evaluate.networks=[{name="mlp",width=16,depth=1}]', "--set", "evaluate.count=1"),
    *("--set", "evaluate.epochs=100", "--engine", "eager", "--quiet"),
)
KINDS = ["benign"] * 12 + ["scan"] * 8 + ["benign"] * 4


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of tiny flows."""
    folder = tmp_path_factory.mktemp("rows")
    csv = write_flows(folder / "train.csv", ["benign"] * 160 + ["scan"] * 160, seed=7, labelled=True)
    made = run("flows", "to-table", csv, "--schema", "argus", "--out", folder / "table")
    assert made.code == 0, made.err
    return folder / "table"


@pytest.fixture(scope="module")
def simulated(table: Path) -> Path:
    """A round on the table, with a teacher and a classifier that was trained on the set."""
    out = table.with_name("run")
    outcome = run("simulate", "--dataset", table, "--clients", 2, *SMALL, *NETWORK, "--out", out)
    assert outcome.code == 0, outcome.err
    trained = run("train", out, *NETWORK, "--test", table, "--out", table.with_name("mlp.safetensors"))
    assert trained.code == 0, trained.err
    return out


@pytest.fixture(scope="module")
def attack(table: Path) -> Path:
    return write_flows(table.with_name("attack.csv"), KINDS, seed=3)


def models(simulated: Path) -> dict[str, Path]:
    return {"trained": simulated.with_name("mlp.safetensors"), "teacher": simulated / "teacher.safetensors"}


def stranger(path: Path, out: Path, **changes: object) -> Path:
    """The same classifier as one that does not know how its rows were made."""
    known = load_classifier(path)
    card = known.card.model_copy(update={"flows": None} | changes)
    Classifier(card=card, parameters=known.parameters).save(out)
    return out


def verdicts(outcome: Outcome) -> list[dict]:
    assert outcome.code == 3, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


@pytest.mark.parametrize("name", ["trained", "teacher"])
def test_every_flow_has_a_verdict_of_its_own(name: str, simulated: Path, table: Path, attack: Path) -> None:
    model = models(simulated)[name]
    classifier = load_classifier(model)
    assert classifier.card.flows == json.loads((table / "flows.json").read_text())["settings"]
    lines = verdicts(run("detect", model, attack, "--jsonl"))
    assert [line["verdict"] for line in lines] == KINDS
    assert [(line["first_line"], line["last_line"]) for line in lines] == [(n, n) for n in range(2, 26)]
    assert {(line["flows"], line["padded"], line["host"]) for line in lines} == {(1, 0, None)}
    assert lines[5]["first_time"] == lines[5]["last_time"] == 1_700_000_005.5
    (chunk,) = read_flows(attack, load_schema("argus"), labelled=False, form="rows")
    expected = classifier.probabilities(chunk.values)
    np.testing.assert_allclose([list(line["probabilities"].values()) for line in lines], expected, atol=2e-6)


def test_an_alarm_is_told_by_line(simulated: Path, attack: Path, tmp_path: Path) -> None:
    model = models(simulated)["trained"]
    shown = run("detect", model, attack)
    assert (shown.code, shown.err) == (3, "")
    assert shown.out.startswith("ALARM: 8 of 24 flows flagged (attack probability of at least 0.5)")
    assert f"line 14 of {attack}" in shown.out
    clean = run("detect", model, write_flows(tmp_path / "clean.csv", ["benign"] * 24, seed=4))
    assert clean.code == 0, clean.out
    assert run("detect", model, attack, "--min-windows", 9).code == 0
    hosts = verdicts(run("detect", model, attack, "--by", "source-host", "--jsonl"))
    assert [line["host"] for line in hosts] == [one.split(",")[1] for one in attack.read_text().splitlines()[1:]]
    told = run("detect", model, attack, "--json").json
    assert (told["schema"], told["windows"], told["flows"], told["min_flows"]) == ("argus", 24, 24, 1)
    assert run("info", model, "--json").json["flows"]["columns"] == 20


def test_what_was_clipped_and_unknown_is_told(simulated: Path, attack: Path, tmp_path: Path) -> None:
    text = attack.read_text().replace(",tcp,", ",quic,", 2).replace("0.00001", "1e30", 1)
    (tmp_path / "odd.csv").write_text(text)
    outcome = run("detect", models(simulated)["trained"], tmp_path / "odd.csv", "--json")
    assert outcome.code == 3
    assert "1 clipped in Dur" in outcome.err
    assert "2 other in Proto" in outcome.err
    assert outcome.json["files"][str(tmp_path / "odd.csv")]["clipped"] == {"Dur": 1}


@pytest.mark.parametrize("way", ["flows", "flows.json", "schema"])
def test_a_classifier_that_does_not_know_its_flows_is_told(
    way: str, simulated: Path, table: Path, attack: Path, tmp_path: Path
) -> None:
    model = stranger(models(simulated)["teacher"], tmp_path / "m.safetensors")
    told = {
        "flows": ("--flows", table),
        "flows.json": ("--flows", table / "flows.json"),
        "schema": ("--schema", "argus"),
    }
    lines = verdicts(run("detect", model, attack, "--jsonl", *told[way]))
    assert lines == [
        line | {"model": load_classifier(model).digest()}
        for line in verdicts(run("detect", models(simulated)["teacher"], attack, "--jsonl"))
    ]


def test_else_the_flows_are_read_by_its_own_columns(simulated: Path, attack: Path, tmp_path: Path) -> None:
    known = models(simulated)["trained"]
    model = stranger(known, tmp_path / "m.safetensors")
    assert_refused(run("detect", model, attack), "benign, scan")
    assert_refused(run("detect", model, attack, "--benign", "good"), "good")
    lines = verdicts(run("detect", model, attack, "--benign", "benign", "--jsonl"))
    same = verdicts(run("detect", known, attack, "--jsonl"))
    assert [line["probabilities"] for line in lines] == [line["probabilities"] for line in same]
    assert [line["last_line"] for line in lines] == list(range(2, 26))
    text = attack.read_text().replace(",tcp,", ",quic,", 2).replace("0.00001", "1e30", 1)
    (tmp_path / "odd.csv").write_text(text)
    odd = run("detect", model, tmp_path / "odd.csv", "--benign", "benign", "--json")
    assert "1 clipped in Dur" in odd.err
    assert "2 unknown in Proto" in odd.err
    assert (odd.json["schema"], odd.json["files"][str(tmp_path / "odd.csv")]["unknown"]) == (None, {"Proto": 2})
    assert_refused(run("detect", model, attack, "--benign", "benign", "--by", "source-host"), "host")
    (tmp_path / "few.csv").write_text("Dur,Proto\n1,tcp\n")
    assert_refused(run("detect", model, tmp_path / "few.csv", "--benign", "benign"), "few.csv")
    assert_refused(run("detect", model, tmp_path / "none.csv", "--benign", "benign"), "none.csv")
    (tmp_path / "empty.csv").write_text(HEADER + "\n")
    assert_refused(run("detect", model, tmp_path / "empty.csv", "--benign", "benign"), "empty.csv")


def test_what_does_not_fit_is_refused(simulated: Path, attack: Path, tmp_path: Path) -> None:
    known = models(simulated)["trained"]
    model = stranger(known, tmp_path / "m.safetensors")
    assert_refused(run("detect", model, attack, "--schema", "unsw-nb15"), "unsw-nb15")
    assert_refused(run("detect", known, attack, "--schema", "unsw-nb15"), "--schema")
    assert_refused(run("detect", known, attack, "--benign", "scan"), "--benign")
    settings = load_classifier(known).card.flows
    assert settings is not None
    other = stranger(known, tmp_path / "o.safetensors", flows=settings | {"keep_leaking": True, "kind": "images"})
    assert_refused(run("detect", other, attack), "flow settings")
    renamed = stranger(known, tmp_path / "r.safetensors", flows=settings, classes=("good", "scan"))
    assert_refused(run("detect", renamed, attack), "classes")


@pytest.mark.parametrize("name", ["trained", "teacher"])
def test_a_classifier_of_rows_is_tested_by_its_own_columns(
    name: str, simulated: Path, table: Path, tmp_path: Path
) -> None:
    """Columns that the test file would be read by alone have other ranges and levels."""
    csv = write_flows(tmp_path / "test.csv", KINDS, seed=5, labelled=True)
    asked = ("evaluate", models(simulated)[name], "--engine", "eager", "--quiet", "--json")
    assert run(*asked, "--dataset", table).json["accuracy"] == 1
    outcome = run(*asked, "--dataset", csv, "--label", "Label")
    assert outcome.code == 0, outcome.err
    assert outcome.json["accuracy"] == 1
    assert outcome.json["samples"] == {"benign": 16, "scan": 8}
