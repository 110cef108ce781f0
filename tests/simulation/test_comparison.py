"""Several methods side by side: the rows, what they share, and going on after an interruption."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collabdm.client import site, sums
from collabdm.config import load_config
from collabdm.distilled.set import load
from collabdm.engine import Engine
from collabdm.errors import ConfigError, RunFolderError
from collabdm.progress import Event
from collabdm.rounds.run_folder import prepare_run_folder
from collabdm.simulation import comparison as comparison_module
from collabdm.simulation.comparison import COMPARED, compare
from collabdm.simulation.simulate import simulate, simulate_on
from collabdm.training.recipes import recipe_text
from tiny_runs import tiny_config, two_epochs, write_sites

KEYS = ["method", "product", "networks", "protocol", "partition", "accuracy_mean", "accuracy_std", "accuracy_stderr"]
KEYS += [
    "macro_f1_mean",
    "macro_f1_std",
    "bytes_down",
    "bytes_up",
    "rounds",
    "client_seconds",
    "server_seconds",
    "seconds",
]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with two_epochs():
        yield


def counted(patch: pytest.MonkeyPatch, name: str) -> list[str]:
    """The clients that a stage was computed for."""
    module = {"client_sums": sums, "distill_locally": site}[name]
    original, clients = getattr(module, name), list[str]()

    def call(plan: Any, client: str, *arguments: Any, **others: Any) -> Any:
        clients.append(client)
        return original(plan, client, *arguments, **others)

    patch.setattr(module, name, call)
    return clients


@pytest.fixture(scope="module")
def compared(_quick: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], Any]:
    """A folder, its rows, and the clients of every computed stage."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    with pytest.MonkeyPatch.context() as patch:
        kept = {name: counted(patch, name) for name in ("client_sums", "distill_locally")}
        rows = compare(tiny_config({"evaluate.count": 2}), COMPARED, folder)
    return folder, rows, kept


Compared = tuple[Path, list[dict[str, Any]], dict[str, list[str]]]


def test_rows(compared: Compared) -> None:
    folder, rows, _ = compared
    assert json.loads((folder / "comparison.json").read_text()) == rows
    assert [row["method"] for row in rows] == list(COMPARED)
    assert all(list(row) == KEYS for row in rows)
    for row in rows:
        metrics = json.loads((folder / row["method"] / "metrics.json").read_text())
        assert row["protocol"] == recipe_text(metrics["protocol"]) != ""
        assert row["accuracy_mean"] == metrics["accuracy"]["mean"]
        assert row["accuracy_std"] == metrics["accuracy"]["std"]
        assert row["accuracy_stderr"] == pytest.approx(row["accuracy_std"] / 2**0.5)
        up = list(metrics["bytes"]["up"].values())
        assert row["bytes_up"] == (sum(up) / 3 if up else 0)
        assert row["bytes_down"] == ((folder / row["method"] / "plan.json").stat().st_size if up else 0)
        assert row["seconds"] > 0
        assert row["rounds"] == (1 if up else 0)
        assert (row["product"], row["networks"]) == ("set", ["convnet width=8 depth=2"])
        assert row["partition"] == ("iid" if up else "pooled")
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_bytes_travel_only_in_a_round(compared: Compared) -> None:
    sent = {row["method"]: row["bytes_up"] for row in compared[1]}
    assert [method for method, size in sent.items() if size] == ["local-dm-pae", "collabdm", "collabdm-pae"]
    assert sent["local-dm-pae"] < sent["collabdm-pae"]


def test_what_methods_agree_on_is_computed_once(compared: Compared) -> None:
    _, _, kept = compared
    # local-dm-pae, collabdm and collabdm-pae share statistics; central-dm-pae has one client of its own.
    assert kept["client_sums"] == ["0", "1", "2", "0"]
    # Tiles or not make two local sets for each client.
    assert kept["distill_locally"] == ["0", "1", "2"] * 2 + ["0"]


def test_shared_work_counts_for_every_method(compared: Compared) -> None:
    folder, rows, _ = compared
    seconds = {row["method"]: row["seconds"] for row in rows}
    parts = {name: json.loads((folder / name / "metrics.json").read_text())["seconds"] for name in seconds}
    assert parts["collabdm"]["statistics"] == parts["collabdm-pae"]["statistics"] > 0
    assert parts["local-dm-pae"]["local"] == parts["collabdm-pae"]["local"] > 0
    for name, one in parts.items():
        kept = ("statistics", "local", "aggregate", "distill", "evaluate")
        assert seconds[name] == pytest.approx(sum(one.get(stage, 0.0) for stage in kept))


def test_each_is_the_run_that_simulate_makes(compared: Compared, tmp_path: Path) -> None:
    folder, rows, _ = compared
    metrics = simulate(tiny_config({"evaluate.count": 2}), tmp_path / "run")
    row = next(row for row in rows if row["method"] == "collabdm-pae")
    assert row["accuracy_mean"] == metrics["accuracy"]["mean"]
    alone, together = load(tmp_path / "run" / "distilled"), load(folder / "collabdm-pae" / "distilled")
    assert alone.samples.equal(together.samples)


def test_an_interrupted_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config({"plan.tiles": 1, "engine": "auto"})
    methods = ["random-real", "collabdm-pae", "local-dm-pae"]

    def stopped(dataset: Any, one: Any, *arguments: Any, **others: Any) -> Any:
        if one.method == "collabdm-pae":
            raise KeyboardInterrupt
        return simulate_on(dataset, one, *arguments, **others)

    with monkeypatch.context() as patch:
        patch.setattr(comparison_module, "simulate_on", stopped)
        with pytest.raises(KeyboardInterrupt):
            compare(config, methods, tmp_path / "run")
    done = (tmp_path / "run" / "random-real" / "metrics.json").stat().st_mtime_ns
    prepare_run_folder(tmp_path / "run", force=False, resume=True)
    # Another machine would choose another engine now; the comparison keeps its own.
    monkeypatch.setattr(comparison_module, "resolved", lambda *arguments, **others: Engine(dtype="float64"))
    rows = compare(config, methods, tmp_path / "run")
    assert [row["method"] for row in rows] == methods
    assert (tmp_path / "run" / "random-real" / "metrics.json").stat().st_mtime_ns == done
    engines = {load_config(file=tmp_path / "run" / method / "config.toml").engine for method in methods}
    assert engines == {Engine()}
    with pytest.raises(RunFolderError, match="other settings"):
        compare(tiny_config({"seed": 4}), methods, tmp_path / "run")


def test_a_comparison_stopped_early_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any, **others: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison_module, "simulate_on", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare(tiny_config(), ["random-real"], tmp_path / "run")
    prepare_run_folder(tmp_path / "run", force=True, resume=False)
    assert not (tmp_path / "run").exists()


def test_a_factor_is_for_the_methods_that_have_one(tmp_path: Path) -> None:
    source = write_sites(tmp_path / "sites.npz")
    config = tiny_config({"plan.tiles": 2, "dataset": str(source)})
    for _ in range(2):  # the second time from what is there
        compare(config, ["random-real", "random-real-pae"], tmp_path / "run")
    found = [load(tmp_path / "run" / name / "distilled").tiles for name in ("random-real", "random-real-pae")]
    assert found == [1, 2]


def test_everything_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    source = write_sites(tmp_path / "sites.npz")
    config = tiny_config({"dataset": str(source), "plan.tiles": 7})
    with pytest.raises(ConfigError, match="fix: "):
        compare(config, ["random-real", "collabdm-pae"], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"^method: got magic; expected one of "):
        compare(tiny_config(), ["random-real", "magic"], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"^methods to compare: got random-real more than once; "):
        compare(tiny_config(), ["random-real", "collabdm", "random-real"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_repeats_in_a_comparison(tmp_path: Path) -> None:
    config = tiny_config({"repeats": 2, "evaluate.count": 2})
    (row,) = compare(config, ["local-dm"], tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "local-dm" / "metrics.json").read_text())
    assert row["accuracy_stderr"] == pytest.approx(row["accuracy_std"] / 4**0.5)
    assert row["accuracy_mean"] == metrics["accuracy"]["mean"]
    assert row["seconds"] == pytest.approx(sum(metrics["seconds"][s] for s in ("statistics", "local", "evaluate")), 0.2)
    assert row["bytes_up"] > 0


def test_images_too_small_for_tiles_are_compared_without_them(tmp_path: Path) -> None:
    small = np.arange(36 * 49, dtype=np.int64).reshape(36, 7, 7) % 251
    test = {"x_test": small[:12].astype(np.uint8), "y_test": np.repeat(np.arange(3), 4)}
    source = write_sites(tmp_path / "small.npz", x_train=small.astype(np.uint8), **test)
    config, told = tiny_config({"dataset": str(source), "plan.tiles": None, "plan.network": None}), list[Event]()
    methods = ("random-real", "random-real-pae", "local-dm-pae", "collabdm-pae")
    rows = compare(config, methods, tmp_path / "run", report=told.append)
    assert [row["method"] for row in rows] == ["random-real", "local-dm", "collabdm"]
    lines = [event.message for event in told if event.message and "too small" in event.message]
    assert lines == [
        "images of 7x7 are too small for partition and expand: local-dm runs instead of local-dm-pae; collabdm runs "
        "instead of collabdm-pae; left out, as the methods without it are there: random-real-pae"
    ]
    asked = config.model_copy(update={"plan": config.plan.model_copy(update={"tiles": 2})})
    with pytest.raises(ConfigError, match=r"partition-and-expand tiles: got 2; expected 1 to 1 for 7x7"):
        compare(asked, methods, tmp_path / "asked")
    assert not (tmp_path / "asked").exists()
