"""`collabdm report`, on what a real run leaves; and that its recipe makes the same run again."""

import json
import shlex
from pathlib import Path

import pytest

from cli.conftest import Outcome, assert_refused, run
from pages import Page

Simulated = tuple[Path, Outcome]


def test_a_real_run(simulated: Simulated, tmp_path: Path) -> None:
    folder, outcome = simulated
    told = run("report", folder, "--out", tmp_path / "deep" / "run.html", "--json")
    written = tmp_path / "deep" / "run.html"
    assert told.json == {"report": str(written), "bytes": written.stat().st_size}
    page = Page(written.read_bytes())
    page.assert_harmless()
    assert page.headings[0] == "collabdm-pae on digits"
    accuracy = outcome.json["accuracy"]["mean"]
    assert f"{100 * accuracy:.1f}\u00a0%" in page.text
    for heading in ("The images", "Accuracy of each class", "On the way", "The clients", "Time and memory"):
        assert heading in page.headings


def test_the_recipe_gives_the_same_run(simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, outcome = simulated
    run("report", folder, "--out", tmp_path / "run.html")
    command = next(
        line for line in Page((tmp_path / "run.html").read_bytes()).text.splitlines() if "collabdm sim" in line
    )
    (tmp_path / "config.toml").write_bytes((folder / "config.toml").read_bytes())
    monkeypatch.chdir(tmp_path)
    again = run(*shlex.split(command)[1:], "--json")
    assert again.json["accuracy"] == outcome.json["accuracy"]
    assert again.json["losses"] == outcome.json["losses"]


def test_beside_the_run_by_default_and_again(exchanged: Path) -> None:
    for _ in range(2):
        told = run("report", exchanged / "run")
        assert told.code == 0
        assert told.out.splitlines()[0] == f"report: {exchanged / 'run' / 'report.html'}"
    page = Page((exchanged / "run" / "report.html").read_bytes())
    assert page.headings[0] == "A round of files"


def test_bad_input_writes_nothing(simulated: Simulated, tmp_path: Path) -> None:
    taken = tmp_path / "thesis.html"
    taken.write_text("precious")
    assert_refused(run("report", simulated[0], "--out", taken), "thesis.html")
    assert taken.read_text() == "precious"
    assert_refused(run("report", tmp_path), "no run folder")
    assert_refused(run("report", tmp_path / "none"), "nothing there")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.html"]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.toml").write_text("")
    (broken / "metrics.json").write_text(json.dumps({"accuracy": {"mean": "high"}}))
    assert_refused(run("report", broken), "accuracy.mean")
    assert not (broken / "report.html").exists()
    assert run("report", simulated[0], "--out", taken, "--force").code == 0
    assert taken.read_bytes().startswith(b"<!doctype html>")
