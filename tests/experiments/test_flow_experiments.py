"""The experiments on flows, with runs replaced by a note of what was asked for, or tiny."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import collabdm.engine
import collabdm.simulation
from collabdm.config import Config
from data.flows.tiny_flows import write_csv, write_schema
from tiny_runs import TINY_NETWORK, write_sites

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What runs were asked for; each gives made-up metrics."""
    configs: list[Config] = []

    def noted(dataset: Any, config: Config, folder: Path, **others: Any) -> dict[str, Any]:
        configs.append(config)
        tested = [spec.name for spec in config.evaluate.networks or ()] or ["convnet"]
        networks = [{"network": name, "index": 0, "accuracy": 0.5, "macro_f1": 0.25} for name in tested]
        found = {"mean": 0.5, "std": 0.0, "macro_f1": {"mean": 0.25, "std": 0.0}, "networks": networks}
        sent = 9_500_000 if config.ipc == 5 else 4_000_000
        return {"accuracy": found | {"per_class": {}}, "bytes": {"up": {"a": sent}}}

    monkeypatch.setattr(collabdm.simulation, "simulate_on", noted)
    monkeypatch.setattr(collabdm.engine, "tune_allocator", lambda: None)
    return configs


def run(name: str, *arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXPERIMENTS / f"{name}.py"), run_name="__main__")


def test_a_curve_stops_where_a_class_has_fewer_windows_and_says_so(
    tmp_path: Path, asked: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.repeat([0, 1, 2], [30, 19, 40])
    arrays = {"x_train": np.zeros((89, 8, 8), np.uint8), "y_train": labels, "site_train": np.full(89, "s")}
    run("figure3", write_sites(tmp_path / "d.npz", **arrays), "--out", tmp_path / "out", "--set", "plan.seeds=7")
    assert [(c.method, c.ipc) for c in asked] == [
        (method, ipc) for method in ("random-real", "collabdm-pae") for ipc in (1, 5, 10)
    ]
    assert {(c.partition.kind, c.partition.column, c.plan.seeds) for c in asked} == {("by-column", "station", 7)}
    shown = capsys.readouterr().out
    assert "stops before 20, 50 images per class: y has 19 training windows" in shown
    assert "| collabdm-pae | 10 | 50.0 ± 0.0 | 25.0 | 4.0 |" in shown
    assert "9.5 (over 9)" in shown
    written = json.loads((tmp_path / "out" / "figure3.json").read_text())
    assert written["stops_at"] == 19
    assert len(written["rows"]) == 6


def test_the_matrix_has_a_cell_for_each_pair_and_finished_rows_are_not_run_again(
    tmp_path: Path, asked: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((36, 32, 32), np.uint8)
    data = write_sites(tmp_path / "d.npz", x_train=images, x_test=images[:12])
    run("table3", data, "--out", tmp_path / "out", "--networks", "alexnet")
    assert [c.plan.network.name for c in asked if c.plan.network] == ["alexnet"]
    assert (asked[0].evaluate.count, asked[0].evaluate.epochs, asked[0].ipc) == (1, 100, 10)
    assert capsys.readouterr().out.count("50.0 (25.0)") == 4
    run("table3", data, "--out", tmp_path / "out", "--method", "collabdm")
    assert [c.method for c in asked] == ["collabdm-pae"] + ["collabdm"] * 3
    assert [c.plan.network.name for c in asked if c.plan.network] == ["alexnet", "convnet", "vgg11", "resnet18"]
    assert capsys.readouterr().out.count("50.0 (25.0)") == 16


def test_networks_of_both_kinds_of_windows_are_tested_on_the_same_flows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["ok", "scan", "flood", "ok"]
    rows = [f"{n},{n % 7},{n % 256},{n},CON,tcp,x,{kinds[n // 3 % 4]}" for n in range(400)]
    schema = write_schema(tmp_path / "s.json", side=8)
    settings = [f"plan.network={{name='convnet',width=4,depth={TINY_NETWORK.depth}}}", "evaluate.count=1"]
    more = [part for one in [*settings, "evaluate.epochs=1", "engine=eager"] for part in ("--set", one)]
    source = write_csv(tmp_path / "flows.csv", *rows)
    run("mixed_windows", source, "--schema", schema, "--out", tmp_path / "out", *more)
    cells = json.loads((tmp_path / "out" / "mixed.json").read_text())
    assert [(c["trained"], c["tested"], c["leaking"]) for c in cells] == [
        (trained, tested, leaking)
        for leaking in (False, True)
        for trained in ("pure", "time")
        for tested in ("pure", "time")
    ]
    by_test = {c["tested"]: c["test_windows"] for c in cells}
    # 50, 25 and 24 pure windows: of 10 blocks of 5, 2.5 and 2.4 windows two each are for testing; so are those flows.
    assert by_test["pure"] == [10, 5, 4]
    assert sum(by_test["time"]) == 19
    assert capsys.readouterr().out.count("| kept |") == 4
