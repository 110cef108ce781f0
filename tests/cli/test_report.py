"""`collabdm report`, on what a real run leaves; and that its recipe makes the same run again."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.conftest import Outcome, assert_refused, run
from collabdm.distilled.set import load
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
    for heading in (
        "The images",
        "Accuracy of each class",
        "Confusion matrix",
        "Loss",
        "The clients",
        "Time and memory",
    ):
        assert heading in page.headings


def test_real_samples_stand_beside_unless_they_may_not(simulated: Simulated, exchanged: Path, tmp_path: Path) -> None:
    pages = {}
    for name, arguments in (("with", ()), ("without", ("--no-real",))):
        assert run("report", simulated[0], "--out", tmp_path / name, *arguments).code == 0
        pages[name] = Page((tmp_path / name).read_bytes())
    strips = {name: [v for _, a, v in page.attributes if a == "aria-label"] for name, page in pages.items()}
    assert any(label.startswith("0, real: ") for label in strips["with"])
    assert "examples of the training data" in pages["with"].text
    assert not any("real: " in label for label in strips["without"])
    assert "examples of the training data" not in pages["without"].text
    # Those who hold a round by files have none.
    assert run("report", exchanged / "run", "--out", tmp_path / "round").code == 0
    assert "The server has no real images of the sites" in Page((tmp_path / "round").read_bytes()).text


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


def commands_of(page: Path) -> list[list[str]]:
    lines = Page(page.read_bytes()).text.splitlines()
    return [shlex.split(line) for line in lines if line.startswith(("cd ", "cp -r ", "rm ", "collabdm distill"))]


def test_a_round_of_files_is_made_again_to_the_bit(
    simulated: Simulated, exchanged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a client came late: its page has the commands, and they are run as they stand."""
    source, out, late = tmp_path / "source", tmp_path / "the run", exchanged / "contributions" / "from 2.safetensors"
    source.mkdir()
    for client in "01":
        shutil.copy(exchanged / "contributions" / f"from {client}.safetensors", source)
    settings = ("--config", simulated[0] / "config.toml", "--out", out, "--quiet")
    assert run("distill", exchanged / "plan.json", source, *settings).code == 0
    assert run("distill", "--add", late, "--passes", 2, "--out", out, "--quiet").code == 0
    assert run("report", out, "--out", tmp_path / "page.html").code == 0
    monkeypatch.chdir(tmp_path)
    for words in commands_of(tmp_path / "page.html"):
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
        elif words[0] == "collabdm":
            assert run(*words[1:], "--quiet").code == 0
        else:
            subprocess.run(words, check=True)
    first, again = (load(folder / "distilled") for folder in (out, tmp_path / "the run-again"))
    assert again.samples.equal(first.samples)
    assert run("distill", "--remove", "2", "--out", out, "--quiet").code == 0
    assert run("report", out, "--out", tmp_path / "later.html").code == 0
    assert commands_of(tmp_path / "later.html") == []
    assert "the set cannot be made once more" in Page((tmp_path / "later.html").read_bytes()).text


def test_an_evaluation_is_kept_in_the_run_and_its_report_shows_it(exchanged: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(exchanged / "run", out)
    page = tmp_path / "page.html"
    assert run("report", out, "--out", page).code == 0
    told = Page(page.read_bytes())
    assert "Accuracy of each class" not in told.headings
    assert "the server; the sites' own time is not known here" in told.text
    # The site's plan has three seeds; the server's own settings never said so.
    assert told.text.split("plan.seeds")[1].split()[0] == "3"
    columns = page.read_text().split("What each client held, sent and took")[1].split("</thead>")[0]
    assert re.findall(r">([^<>]+)</th>", columns) == ["Client", "Down", "Up", "of which"]
    asked = ("evaluate", out, "--dataset", "digits", "--count", 2, "--engine", "eager", "--set", "evaluate.epochs=1")
    outcome = run(*asked, "--out", tmp_path / "found.json")
    assert outcome.code == 0, outcome.err
    assert f"kept in {tmp_path / 'found.json'} and {out / 'evaluations.json'}" in outcome.out
    assert outcome.out.splitlines()[-1] == f"next, to see it: collabdm report {out}"
    (kept,) = json.loads((out / "evaluations.json").read_text())
    found = json.loads((tmp_path / "found.json").read_text())
    assert kept["accuracy"] == found["accuracy"]
    # The same question again takes the place of the first; another one stands beside it.
    assert run(*asked, "--out", out, "--quiet").out.splitlines()[0].startswith("network")
    assert len(json.loads((out / "evaluations.json").read_text())) == 1
    assert run("report", out, "--out", page, "--force").code == 0
    told = Page(page.read_bytes())
    assert f"{100 * found['accuracy']['mean']:.1f}\u00a0%" in told.text
    assert "Accuracy of each class" in told.headings
    assert "the server and evaluation; the sites' own time is not known here" in told.text
    assert_refused(run(*asked, "--out", tmp_path / "found.json"), "found.json")
    # What was judged was another set.
    (out / "distilled" / "distilled.safetensors").write_bytes((out / "initial/distilled.safetensors").read_bytes())
    assert run("report", out, "--out", page, "--force").code == 0
    told = Page(page.read_bytes())
    assert "Accuracy of each class" not in told.headings
    assert "1 earlier evaluation is left out: the set has changed since." in told.text
    assert run("forget", "2", "--out", out, "--quiet").code == 0
    assert not (out / "evaluations.json").exists()


def test_what_keeps_nothing_says_so_when_it_is_stopped(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(folder: Path, *, real: bool) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("collabdm.report.run_report", stopped)
    outcome = run("report", simulated[0], "--out", tmp_path / "page.html")
    told = "error: interrupted; nothing was kept: the same command begins anew\n"
    assert (outcome.code, outcome.err, list(tmp_path.iterdir())) == (130, told, [])
