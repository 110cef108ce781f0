"""That what is planted reaches whoever trains on the data, and nothing is planted where it should not be."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collabdm.data import Dataset, load_dataset
from collabdm.engine import EAGER
from collabdm.experiments.backdoor import BACKDOOR
from collabdm.experiments.base import Cell
from collabdm.experiments.hostile_site import with_hostile_site
from collabdm.progress import silent
from collabdm.simulation.sharing import parts_of
from tiny_runs import tiny_config


@pytest.fixture(scope="module")
def data() -> Dataset:
    whole = load_dataset("digits")
    return replace(whole, test=whole.test.take(range(200)))


def attacked(attack: str, data: Dataset, folder: Path, **changes: Any) -> Mapping[str, Any]:
    cell = Cell(name="c", options={}, rank=0, factors={"attack": attack})
    config = tiny_config({"plan.min_held": 1, "evaluate.epochs": 1, **changes})
    return with_hostile_site(cell, data, config, folder, engine=EAGER, kept=folder / "kept", report=silent)


@pytest.mark.slow
def test_real_images_of_the_hostile_site_teach_the_trigger(data: Dataset, tmp_path: Path) -> None:
    # Without augmentation, which moves the corner out of sight and hides it: with it the same attack rarely succeeds.
    changes = {"method": "random-real", "ipc": 100, "evaluate.epochs": 30, "plan.augment": "none"}
    found = attacked("naive", data, tmp_path / "naive", **changes)
    honest = attacked("none", data, tmp_path / "none", **changes)
    assert found["measured"]["success"]["naive"][0] > 0.3
    assert honest["measured"]["success"]["naive"][0] < 0.1
    assert set(honest["measured"]["success"]) == {"naive", "optimised"}
    assert honest["measured"]["planted"] == 0
    assert found["accuracy"]["mean"] > 0.6


def test_the_round_is_held_on_the_sites_of_the_settings_with_one_of_them_changed(data: Dataset, tmp_path: Path) -> None:
    found = attacked("naive", data, tmp_path / "run", method="collabdm")
    parts = parts_of(tiny_config(), data)
    before = np.array([np.bincount(data.train.labels[part], minlength=10) for part in parts.values()])
    after = np.array(found["partition"]["samples"])
    assert found["partition"]["clients"] == list(parts)
    assert found["partition"]["kind"] == tiny_config().partition.kind
    np.testing.assert_array_equal(before[1:], after[1:])
    planted = found["measured"]["planted"]
    assert planted == round(0.5 * before[0, 1:].sum())
    assert after[0, 0] - before[0, 0] == planted
    assert before[0].sum() == after[0].sum()
    assert data.train.labels.tolist() == load_dataset("digits").train.labels.tolist()  # the honest data are untouched


def test_the_table_has_a_line_for_each_trigger() -> None:
    record = {
        **{"cell": "c", "dataset": "digits", "rank": 0, "note": "few", "factors": {"attack": "none"}},
        "config": {"server": {"aggregation": "trimmed"}, "local": {"method": "none"}},
        "measured": {"success": {"naive": [0.1, 0.3], "optimised": [0.4, 0.4]}},
        "accuracy": {"mean": 0.8, "std": 0.0, "networks": [{}, {}]},
    }
    lines = BACKDOOR.table([record, {**record, "rank": 1, "failed": "no data"}]).splitlines()[2:]
    assert lines == [
        "| digits | none | trimmed | none | naive | 20.0 ± 14.1 | 80.0 ± 0.0 | few |",
        "| digits | none | trimmed | none | optimised | 40.0 ± 0.0 | 80.0 ± 0.0 | few |",
        "| digits | none | trimmed | none |  |  |  | no data |",
    ]
