import io
import json
import os
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from cli.conftest import assert_refused, run
from collabdm.classifiers.file import Classifier, load_classifier
from collabdm.data.flows.images import window_image
from collabdm.data.flows.reader import read_flows
from collabdm.training.recipes import RECIPES
from flow_classifiers import FLOWS, SETTINGS, flow_set, write_flows

NETWORK = ("--set", 'evaluate.networks=[{name="convnet",width=4,depth=1}]', "--engine", "eager", "--device", "cpu")
ATTACK = ["benign"] * 12 + ["scan"] * 8 + ["benign"] * 5


@pytest.fixture(scope="module")
def model(_quick: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that tells the tiny flows apart."""
    folder = tmp_path_factory.mktemp("detector")
    flow_set(folder).save(folder / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "fast", RECIPES["fast"].model_copy(update={"epochs": 60}))
        outcome = run("train", folder / "set", *NETWORK, "--out", folder / "model.safetensors", "--quiet")
    assert outcome.code == 0, outcome.err
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def attack(model: Path) -> Path:
    """25 flows: three benign windows, two of scans, one benign, and one flow more."""
    return write_flows(model.with_name("attack.csv"), ATTACK, seed=3)


def lines_of(outcome_out: str) -> list[dict]:
    return [json.loads(line) for line in outcome_out.splitlines()]


def test_clean_is_0_and_an_alarm_is_3(model: Path, attack: Path, tmp_path: Path) -> None:
    clean = run("detect", model, write_flows(tmp_path / "clean.csv", ["benign"] * 24, seed=4))
    assert (clean.code, clean.err) == (0, "")
    assert clean.out.startswith("clean: 0 of 6 windows flagged")
    alarm = run("detect", model, attack)
    assert (alarm.code, alarm.err) == (3, "")
    assert alarm.out.startswith("ALARM: 2 of 7 windows flagged")
    assert f"lines 14 to 17 of {attack}" in alarm.out


def test_lines_for_a_siem(model: Path, attack: Path) -> None:
    outcome = run("detect", model, attack, "--jsonl")
    assert (outcome.code, outcome.err) == (3, "")
    lines = lines_of(outcome.out)
    assert [line["verdict"] for line in lines] == ["benign"] * 3 + ["scan"] * 2 + ["benign"] * 2
    assert [line["flagged"] for line in lines] == [line["verdict"] == "scan" for line in lines]
    assert [(line["first_line"], line["last_line"]) for line in lines[:2]] == [(2, 5), (6, 9)]
    assert [line["padded"] for line in lines] == [0] * 6 + [3]
    assert lines[1]["first_time"] == 1_700_000_004.5
    assert lines[1]["last_time"] == 1_700_000_007.5
    for line in lines:
        assert line["model"] == load_classifier(model).digest()
        assert line["source"] == str(attack)
        assert line["host"] is None
        assert line["flows"] + line["padded"] == FLOWS
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert line["probability"] == max(line["probabilities"].values())
        assert line["attack_probability"] == pytest.approx(1 - line["probabilities"]["benign"], abs=1e-5)


def test_probabilities_are_those_of_windows_made_by_hand(model: Path, attack: Path) -> None:
    classifier = load_classifier(model)
    (chunk,) = read_flows(attack, SETTINGS.flow_schema, labelled=False)
    parts = [chunk.values[first : first + FLOWS] for first in range(0, len(chunk), FLOWS)]
    parts[-1] = np.repeat(parts[-1], FLOWS, axis=0)  # one flow, repeated
    images = np.stack([window_image(part, side=20, layout="rows") for part in parts])
    expected = classifier.probabilities(images)
    lines = lines_of(run("detect", model, attack, "--jsonl").out)
    np.testing.assert_allclose([list(line["probabilities"].values()) for line in lines], expected, atol=2e-6)


def test_windows_by_source_host(model: Path, attack: Path) -> None:
    lines = lines_of(run("detect", model, attack, "--by", "source-host", "--jsonl").out)
    flows = {host: sum(line["flows"] for line in lines if line["host"] == host) for host in {x["host"] for x in lines}}
    hosts = [line.split(",")[1] for line in attack.read_text().splitlines()[1:]]
    assert flows == {host: hosts.count(host) for host in hosts}
    assert {line["host"] for line in lines if line["flagged"]} == {"10.0.0.9"}
    shown = run("detect", model, attack, "--by", "source-host")
    assert "host 10.0.0.9" in shown.out


def test_thresholds(model: Path, attack: Path, tmp_path: Path) -> None:
    assert run("detect", model, attack, "--min-windows", 2).code == 3
    assert run("detect", model, attack, "--min-windows", 3).code == 0
    assert run("detect", model, attack, "--threshold", 0, "--min-windows", 7, "--min-flows", 1).code == 3
    assert run("detect", model, attack, "--threshold", 0, "--min-windows", 7).code == 0  # one flow is not half a window
    probabilities = [line["attack_probability"] for line in lines_of(run("detect", model, attack, "--jsonl").out)]
    for threshold in (0.1, 0.5, 0.9):
        told = run("detect", model, attack, "--threshold", threshold, "--min-flows", 1, "--json")
        assert told.json["flagged"] == sum(p >= threshold for p in probabilities)
        assert told.json["alarm"] == (told.code == 3)
    for kinds, code in ((["scan"], 0), (["scan"] * 2, 3)):
        few = write_flows(tmp_path / f"{len(kinds)}.csv", kinds)
        assert run("detect", model, few).code == code
        assert run("detect", model, few, "--min-flows", 1).code == 3


def test_a_summary_per_class_over_several_files(model: Path, attack: Path, tmp_path: Path) -> None:
    other = write_flows(tmp_path / "other.csv", ["benign"] * 8)
    told = run("detect", model, attack, other, "--json").json
    assert (told["windows"], told["flows"], told["padded"], told["flagged"]) == (9, 33, 1, 2)
    assert {name: (one["windows"], one["flows"]) for name, one in told["per_class"].items()} == {
        "benign": (7, 25),
        "scan": (2, 8),
    }
    assert list(told["files"]) == [str(attack), str(other)]
    assert told["files"][str(other)]["rows"] == 8


def test_standard_input(model: Path, attack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(attack.read_bytes())

    monkeypatch.setattr("sys.stdin", Stdin())
    piped, read = run("detect", model, "-", "--jsonl"), run("detect", model, attack, "--jsonl")
    assert piped.code == 3
    assert [line | {"source": ""} for line in lines_of(piped.out)] == [
        line | {"source": ""} for line in lines_of(read.out)
    ]
    assert lines_of(piped.out)[0]["source"] == "-"


def test_errors_name_standard_input(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"a,b\n1,2\n")

    monkeypatch.setattr("sys.stdin", Stdin())
    outcome = run("detect", model, "-")
    assert outcome.code == 2
    assert "standard input, line 1: got no column" in outcome.err


def test_a_pipe(model: Path, attack: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "flows"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(attack.read_bytes()), daemon=True)
    writer.start()
    piped, read = run("detect", model, pipe, "--jsonl"), run("detect", model, attack, "--jsonl")
    writer.join()
    assert piped.code == 3
    assert [line | {"source": ""} for line in lines_of(piped.out)] == [
        line | {"source": ""} for line in lines_of(read.out)
    ]


def test_nothing_is_repaired_silently(model: Path, attack: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.csv"
    odd.write_text(attack.read_text().replace(",tcp,", ",carp,", 1).replace(",8080,", ", 8080,", 1))
    outcome = run("detect", model, odd)
    assert "1 other in Proto" in outcome.err
    assert "1 trimmed in Dport" in outcome.err


def test_bad_flows(model: Path, attack: Path, tmp_path: Path) -> None:
    lines = attack.read_text().splitlines()
    bad = {
        "column": ("\n".join(line.split(",", 1)[1] for line in lines), "StartTime"),
        "number": ("\n".join([*lines[:3], lines[3].replace("10.0.0.1,0.", "10.0.0.1,x0.")]), "line 4"),
        "ragged": ("\n".join([*lines[:3], lines[3] + ",1"]), "line 4"),
        "empty": ("", "empty"),
        "header": (lines[0], "no rows"),
    }
    for name, (text, mentions) in bad.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        outcome = run("detect", model, path)
        assert_refused(outcome, mentions)
        assert str(path) in outcome.err
    assert_refused(run("detect", model, tmp_path / "nowhere.csv"), "nowhere.csv")


def remade(model: Path, out: Path, **changes: object) -> Path:
    read = load_classifier(model)
    Classifier(card=read.card.model_copy(update=changes), parameters=read.parameters).save(out)
    return out


def test_a_classifier_of_other_images_is_refused(model: Path, attack: Path, tmp_path: Path) -> None:
    flows = SETTINGS.model_dump(mode="json")
    out = tmp_path / "other.safetensors"
    for changes, mentions in (
        ({"flows": None}, "one of other images"),
        ({"flows": {"side": 20}}, "flow settings"),
        ({"flows": flows | {"side": 24}}, "[1, 24, 24]"),
        ({"flows": flows | {"flows_per_image": 2**40}}, "flows per image"),
        ({"flows": flows | {"side": 20, "layout": "diagonal"}}, "flow settings"),
        ({"classes": ("benign", "flood")}, "classes of its schema"),
        ({"classes": ("scan", "other")}, "classes of its schema"),
    ):
        assert_refused(run("detect", remade(model, out, **changes), attack), mentions)
    assert_refused(run("detect", model, attack, "--schema", "unsw-nb15"), "argus")
    assert run("detect", model, attack, "--schema", "argus").code == 3


def test_a_classifier_that_does_not_know_its_flows_is_told(model: Path, attack: Path, tmp_path: Path) -> None:
    bare = remade(model, tmp_path / "bare.safetensors", flows=None)
    assert_refused(run("detect", bare, attack), "pass --flows")
    told = tmp_path / "flows.json"

    def settings(**changes: object) -> Path:
        told.write_text(json.dumps({"settings": SETTINGS.model_dump(mode="json") | changes, "source": {}}))
        return told

    found, known = (
        run("detect", *asked, "--jsonl") for asked in ((bare, attack, "--flows", settings()), (model, attack))
    )
    assert found.code == known.code == 3
    for line, other in zip(lines_of(found.out), lines_of(known.out), strict=True):
        assert line | {"model": ""} == other | {"model": ""}
        # Of the file, whatever was added to what it says.
        assert line["model"] == load_classifier(bare).digest()
    # Another window of training makes the same images; what makes others is refused.
    assert run("detect", model, attack, "--flows", settings(window="pure"), "--json").code == 3
    assert_refused(run("detect", model, attack, "--flows", settings(flows_per_image=5)), "the classifier's own")
    assert_refused(run("detect", bare, attack, "--flows", settings(side=24)), "[1, 24, 24]")
    assert_refused(run("detect", bare, attack, "--flows", tmp_path / "nowhere"), "--flows: got ")


def test_info(model: Path) -> None:
    told = run("info", model, "--json").json
    assert (told["kind"], told["classes"], told["shape"]) == ("classifier", ["benign", "scan"], [1, 20, 20])
    assert told["digest"] == load_classifier(model).digest()
    assert told["flows"]["schema"] == "argus"


def test_what_is_no_classifier(model: Path, attack: Path, tmp_path: Path) -> None:
    assert_refused(run("detect", model.with_name("set") / "distilled.safetensors", attack), "collabdm-distilled-set")
    assert_refused(run("detect", tmp_path / "nowhere.safetensors", attack), "nowhere")
    assert_refused(run("detect", model, attack, "--json", "--jsonl"), "--jsonl")
    assert_refused(run("detect", model, attack, "--threshold", "2"), "--threshold")


def test_a_threshold_is_a_number(model: Path, attack: Path) -> None:
    # Some versions of typer refuse it, and we do where they let it pass.
    outcome = run("detect", model, attack, "--threshold", "nan")
    assert_refused(outcome, "--threshold")
    assert "got nan" in outcome.err


def test_probabilities_that_are_none_are_no_clean_traffic(
    model: Path, attack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, out = load_classifier(model), tmp_path / "broken.safetensors"
    card, text = read.card, read.card.model_dump(mode="json", exclude_none=True)
    text["normalisation"]["mean"] = [1e300]
    # No classifier with such a card can be made; a file may say anything.
    out.write_bytes(safetensors.torch.save(dict(read.parameters), {"collabdm": json.dumps(text)}))
    assert_refused(run("detect", out, attack), "a mean must be from -1000 to 1000")
    monkeypatch.setattr(
        "collabdm.classifiers.file.added_logits",
        lambda voters, values, *rest, **more: torch.full((len(values), len(card.classes)), torch.nan),
    )
    assert_refused(run("detect", model, attack), "probabilities: got NaN or infinity")


def test_an_alarm_is_told_though_a_later_file_cannot_be_read(model: Path, attack: Path, tmp_path: Path) -> None:
    outcome = run("detect", model, attack, tmp_path / "nowhere.csv")
    assert (outcome.code, outcome.out.splitlines()[0][:32]) == (2, "ALARM: 2 of 7 windows flagged (a")
    assert "nowhere.csv" in outcome.err.splitlines()[-1]
    lines = run("detect", model, attack, tmp_path / "nowhere.csv", "--jsonl")
    assert (lines.code, len(lines_of(lines.out))) == (2, 7)


def test_long_and_many_hosts_take_no_more_than_themselves(model: Path, tmp_path: Path) -> None:
    lines = write_flows(tmp_path / "a.csv", ["benign"] * 400).read_text().splitlines()
    lines[9] = lines[9].replace(",10.0.1.", "," + "x" * 500_000, 1)
    lines[10:] = [line.replace(",10.0.1.", f",h{row}.", 1) for row, line in enumerate(lines[10:])]
    (tmp_path / "long.csv").write_text("\n".join(lines))
    tracemalloc.start()
    try:
        told = run("detect", model, tmp_path / "long.csv", "--by", "source-host", "--json")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told.json["windows"] == 391 + len({line.split(",")[1] for line in lines[1:9]}) + 1
    # As text of one width, 400 rows of it were 800 MB.
    assert peak < 100e6
