"""The scripts about exported files and skewed splits, tiny."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from experiments.test_mixed_windows import run
from tiny_runs import TINY_NETWORK

TINY = [
    f"plan.network={{name='convnet',width=8,depth={TINY_NETWORK.depth}}}",
    *("plan.seeds=2", "plan.batch=16", "local.iterations=2", "evaluate.count=1", "engine=eager", "method=collabdm"),
]


def tiny(*settings: str) -> Sequence[str]:
    return [part for one in [*TINY, *settings] for part in ("--set", one)]


def test_files_that_are_read_back_train_as_the_floats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("exported", "digits", "--out", tmp_path, *tiny("ipc=2", "evaluate.epochs=40"))
    found = json.loads((tmp_path / "exported.json").read_text())
    assert found["floats"][0] > 0.3  # of 0.1 by chance, so that the next line says something
    assert found["files"][0] == pytest.approx(found["floats"][0], abs=0.02)
    assert 0 < found["outside"] < 1
    assert len(list((tmp_path / "exported").rglob("*.png"))) == 20
    assert "| difference, paired |" in capsys.readouterr().out


def test_made_up_sites_hold_the_share_that_is_asked_for(tmp_path: Path) -> None:
    options = ["--home", 2, "--share", 0.9, "--train", 500, "--test", 50, "--ipc", 3, "--draws", 1]
    run("skew", "digits", "--out", tmp_path, *options, *tiny("evaluate.epochs=1"))
    (row,) = json.loads((tmp_path / "skew.json").read_text())
    assert row["iid"]["at_home"] == pytest.approx(0.5, abs=0.1)
    assert row["by-column"]["at_home"] == pytest.approx(0.9, abs=0.05)
    assert sorted(row["by-column"]["taken"]) == ["site-0", "site-1"]
    assert [sum(row[kind]["taken"].values()) for kind in ("iid", "by-column")] == [30, 30]


def test_sites_are_the_values_of_the_rows_that_images_were_made_of(tmp_path: Path) -> None:
    # Row n is of class n % 2; all of class 0 is tcp, class 1 is half udp and half something rare.
    protocols = ["tcp", "udp", "tcp", "rare"] * 25
    (tmp_path / "flows.csv").write_text("proto\n" + "\n".join(protocols) + "\n")
    pixels = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    labels, order = np.arange(100) % 2, np.random.default_rng(1).permutation(100)
    arrays = {"x_train": pixels[order], "y_train": labels[order], "first_line_train": order + 2}
    np.savez(tmp_path / "flows.npz", **arrays, x_test=pixels, y_test=labels)
    options = ["--source", tmp_path / "flows.csv", "--group", "proto", "--least", 0.3, "--ipc", 2, "--draws", 1]
    run("skew", tmp_path / "flows.npz", "--out", tmp_path / "out", *options, *tiny("evaluate.epochs=1"))
    (row,) = json.loads((tmp_path / "out" / "skew.json").read_text())
    # tcp has both images of class 0, and everything else those of class 1.
    assert row["by-column"]["taken"] == {"other": 2, "tcp": 2}
    assert row["by-column"]["at_home"] == 1
