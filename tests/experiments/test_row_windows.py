"""Classifiers of rows on windows, against sums by hand."""

import json
from pathlib import Path

import numpy as np
import torch

from collabdm.classifiers.teacher import classifier_of
from collabdm.data.flows.chunk import joined
from collabdm.data.flows.reader import read_flows
from collabdm.data.flows.rows import RowSettings
from collabdm.networks import NetworkSpec, build_network
from collabdm.tables.modality import Tables
from data.flows.tiny_flows import tiny_schema, write_csv, write_schema
from experiments.test_mixed_windows import run


def test_a_window_gets_the_mean_of_its_flows_probabilities(tmp_path: Path) -> None:
    kinds = ["ok", "scan", "flood", "ok"]
    rows = [f"{n},{n % 7},{n % 256},{n},CON,tcp,x,{kinds[n % 4]}" for n in range(80)]
    source, schema = write_csv(tmp_path / "flows.csv", *rows), write_schema(tmp_path / "s.json")
    settings = RowSettings(flow_schema=tiny_schema())
    sample = Tables(label="label", columns=settings.table.columns)
    network = NetworkSpec(name="mlp", width=8, depth=1)
    shapes = {name: value.shape for name, value in build_network(network, sample.shape, 3).named_parameters()}
    draw = torch.Generator().manual_seed(1)
    values = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    model = classifier_of(
        network, sample, ("scan", "benign", "other"), values, {"flows": settings.model_dump(mode="json")}
    )
    model.save(tmp_path / "m.safetensors")
    asked = ("--schema", schema, "--flows", 4, "--out", tmp_path / "out.json", tmp_path / "m.safetensors")
    run("row_windows", source, *asked)
    (found,) = json.loads((tmp_path / "out.json").read_text())
    everything = joined(list(read_flows(source, tiny_schema(), form="rows")))
    # Of 40, 20 and 20 flows the third and the eighth of ten blocks.
    of = {kind: [n for n in range(80) if kinds[n % 4] == kind] for kind in ("ok", "scan", "flood")}
    tested = {k: [*n[len(n) // 5 : len(n) * 3 // 10], *n[len(n) * 7 // 10 : len(n) * 4 // 5]] for k, n in of.items()}
    label = {"scan": 0, "ok": 1, "flood": 2}
    right, alarms = [], []
    for kind, places in tested.items():
        for first in range(0, len(places) - 3, 4):
            mean = model.probabilities(everything.values[places[first : first + 4]]).mean(axis=0)
            right.append(int(mean.argmax()) == label[kind])
            alarms += [int(mean.argmax()) != 1] if kind == "ok" else []
    assert found["by_window"]["samples"] == len(right) == 4
    assert found["by_flow"]["samples"] == 16
    assert found["by_window"]["accuracy"] == round(float(np.mean(right)), 4)
    assert found["by_window"]["false_alarms"] == round(float(np.mean(alarms)), 4)
