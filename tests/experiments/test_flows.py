"""Figure 3 and Table 3 on images of flows, with runs replaced by a note of what was asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collabdm.config import Config
from collabdm.experiments import SCALES, Outcome, base, experiment_named, run_experiment
from experiments.tiny_experiment import records_in
from tiny_runs import write_sites


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

    monkeypatch.setattr(base, "simulate_on", noted)
    return configs


def run(name: str, data: Path, folder: Path, **others: Any) -> Outcome:
    return run_experiment(experiment_named(name), SCALES["cpu"], folder, data={"images": str(data)}, **others)


def table(name: str, folder: Path) -> str:
    return experiment_named(name).table(list(records_in(folder).values()))


def test_a_curve_ends_where_a_class_has_fewer_windows_and_says_so(tmp_path: Path, asked: list[Config]) -> None:
    labels = np.repeat([0, 1, 2], [30, 19, 40])
    arrays = {"x_train": np.zeros((89, 8, 8), np.uint8), "y_train": labels, "station_train": np.full(89, "s")}
    arrays["site_train"] = arrays["station_train"]
    outcome = run("figure3", write_sites(tmp_path / "d.npz", **arrays), tmp_path / "out", settings=["plan.seeds=7"])
    assert sorted((c.method, c.ipc) for c in asked) == [
        (method, ipc) for method in ("collabdm", "collabdm-pae", "random-real") for ipc in (1, 5, 10)
    ]
    assert {(c.partition.kind, c.partition.column, c.plan.seeds) for c in asked} == {("by-column", "station", 7)}
    methods = ("collabdm", "collabdm-pae", "random-real")
    assert set(outcome.failed) == {f"ipc{ipc}-{method}" for ipc in (20, 50) for method in methods}
    assert all("got 19 of y; expected at least" in why for why in outcome.failed.values())
    lines = table("figure3", tmp_path / "out").splitlines()
    assert "| collabdm-pae | 10 | 50.0 | 25.0 | 4.0 | the paper, on 5G-NIDD: 99 %; with plan.seeds=7 |" in lines
    assert "| random-real | 5 | 50.0 | 25.0 | 9.5 (over 9) | with plan.seeds=7 |" in lines


def test_the_matrix_has_a_line_for_each_architecture_and_finished_ones_are_not_run_again(
    tmp_path: Path, asked: list[Config]
) -> None:
    images = np.zeros((36, 32, 32), np.uint8)
    data = write_sites(tmp_path / "d.npz", x_train=images, x_test=images[:12])
    run("table3", data, tmp_path / "out", only=["alexnet"], settings=["local.iterations=1"])
    assert [c.plan.network.name for c in asked if c.plan.network] == ["alexnet"]
    assert (asked[0].evaluate.count, asked[0].evaluate.protocol, asked[0].ipc) == (1, "fast", 10)
    assert table("table3", tmp_path / "out").count("50.0 (25.0)") == 4
    run("table3", data, tmp_path / "out", settings=["local.iterations=1"])
    networks = ["convnet", "alexnet", "resnet18", "vgg11"]
    pairs = [(c.plan.network.name, c.method) for c in asked if c.plan.network]
    assert sorted(pairs) == sorted((name, method) for name in networks for method in ("collabdm-pae", "collabdm"))
    lines = table("table3", tmp_path / "out").splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        row for name in networks for row in (name, f"{name}, collabdm")
    ]
    assert "\n".join(lines).count("50.0 (25.0)") == 32
