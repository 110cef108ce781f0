"""The demonstrations: they are what they say, on data that need no download."""

import json
from pathlib import Path

import pytest

from cli.conftest import assert_refused, run
from collabdm.cli.demo import DEMOS, Demo
from collabdm.config import load_config
from collabdm.methods import METHODS

FEW = {"plan.seeds": 2, "evaluate.epochs": 2, "evaluate.count": 1, "engine": "eager", "device": "cpu"}


@pytest.mark.parametrize("modality", list(DEMOS))
def test_each_is_of_its_own_kind_of_data(modality: str) -> None:
    assert DEMOS[modality].config.modality == modality
    assert set(DEMOS[modality].methods or ()) <= set(METHODS)


def test_that_of_images_is_the_preset() -> None:
    assert DEMOS["images"] == Demo(settings={})
    assert DEMOS["images"].config == load_config(preset="demo")


@pytest.mark.parametrize(
    ("modality", "most"),
    [("tables", 1), *(pytest.param(kind, None, marks=pytest.mark.slow) for kind in ("tables", "series"))],
)
def test_every_method_is_in_the_comparison(
    modality: str, most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = DEMOS[modality]
    usual = Demo(settings={**usual.settings, **FEW}, methods=(usual.methods or ())[:most])
    monkeypatch.setitem(DEMOS, modality, usual)
    monkeypatch.chdir(tmp_path)
    outcome = run("demo", "--modality", modality, "--quiet", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert [row["method"] for row in outcome.json] == list(usual.methods or ())
    assert outcome.json == json.loads((tmp_path / "runs" / f"demo-{modality}" / "comparison.json").read_text())
    by_judge = outcome.json[0].get("by_network", {})
    assert set(by_judge) == ({"mlp", "knn", "logistic"} if modality == "tables" else set())
    assert_refused(run("demo", "--modality", modality), "--force")


def test_an_unknown_kind_is_told(tmp_path: Path) -> None:
    assert_refused(run("demo", "--modality", "videos", "--out", tmp_path / "x"), "one of images, tables, series")
    assert not (tmp_path / "x").exists()
