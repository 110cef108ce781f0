"""`collabdm audit`: what it prints, and what it refuses."""

import json
import shutil
from pathlib import Path

from cli.conftest import Outcome, assert_refused, run


def test_an_audit_is_told_and_kept(simulated: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(simulated[0], folder)
    done = run("audit", folder, "--canaries", "8", "--rounds", "6", "--quiet")
    assert done.code == 0, done.err
    found = json.loads((folder / "audit.json").read_text())
    assert "8, all at the client that holds most, in 6 rounds" in done.out
    for name, one in found["attacks"].items():
        assert name in done.out
        assert f"{one['auc']:.3f}" in done.out
    assert "Who can be found in the data" in run_report_of(folder, tmp_path / "page.html")


def run_report_of(folder: Path, page: Path) -> str:
    assert run("report", folder, "--out", page).code == 0
    return page.read_text()


def test_what_cannot_be_audited_is_refused(simulated: tuple[Path, Outcome], tmp_path: Path) -> None:
    assert_refused(run("audit", tmp_path), "no config.toml")
    assert_refused(run("audit", simulated[0], "--rounds", "2"), "got 2 rounds")
    assert_refused(run("audit", simulated[0], "--budget", "soon"), "--budget: got soon")
