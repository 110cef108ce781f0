import json
from pathlib import Path

import pytest
import torch

import collabdm.client
import collabdm.rounds.contributing
import collabdm.simulation.simulate
from cli.conftest import TINY, Outcome, assert_refused, run
from collabdm.data import Samples
from collabdm.progress import Event

Simulated = tuple[Path, Outcome]


def test_json_is_the_metrics(simulated: Simulated) -> None:
    folder, outcome = simulated
    assert outcome.json == json.loads((folder / "metrics.json").read_text())
    assert outcome.json["method"] == "collabdm-pae"
    assert len(outcome.json["accuracy"]["networks"]) == 2


def test_progress_lines_name_stages_and_clients(simulated: Simulated) -> None:
    lines = simulated[1].err.splitlines()
    assert all("statistics " + client + ": 3/3" in lines for client in "012")
    assert any(line.startswith("distill: 3/3, loss ") for line in lines)


def test_an_existing_run_needs_force_or_resume(simulated: Simulated) -> None:
    folder, outcome = simulated
    before = (folder / "metrics.json").stat().st_mtime_ns
    arguments = ("simulate", "--dataset", "digits", *TINY, "--out", folder)
    assert_refused(run(*arguments), "--force")
    again = run(*arguments, "--resume", "--json")
    assert again.json == outcome.json
    assert (folder / "metrics.json").stat().st_mtime_ns == before
    assert_refused(run(*arguments, "--seed", 5, "--resume"), "other settings")


def test_force_replaces_run_folders_and_nothing_else(tmp_path: Path) -> None:
    arguments = ("simulate", "--dataset", "digits", *TINY, "--method", "random-real", "--quiet")
    mine, old = tmp_path / "mine", tmp_path / "old"
    mine.mkdir()
    (mine / "thesis.tex").write_text("precious")
    assert_refused(run(*arguments, "--out", mine, "--force"), "no run folder")
    assert (mine / "thesis.tex").read_text() == "precious"
    assert run(*arguments, "--out", old).code == 0
    (old / "leftover").touch()
    assert_refused(run(*arguments, "--dataset", tmp_path / "nowhere.npz", "--out", old, "--force"), "nowhere")
    assert (old / "leftover").exists()
    outcome = run(*arguments, "--out", old, "--force")
    assert outcome.code == 0
    assert outcome.err == ""
    assert not (old / "leftover").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "old"]


def test_a_full_gpu_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free.")

    monkeypatch.setattr(collabdm.rounds.contributing, "contribute", full)
    outcome = run("simulate", "--dataset", "digits", *TINY, "--out", tmp_path / "run", "--quiet")
    assert_refused(outcome, "GPU memory: got CUDA out of memory; expected about 5 GB for each process; fix: ")
    assert "OMP_NUM_THREADS=2" in outcome.err


def test_an_interrupted_run_says_so_and_resumes_to_the_same_set(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("simulate", "--dataset", "digits", *TINY, "--out", tmp_path / "run", "--json")
    original, seen = collabdm.client.contribute, []

    def interrupted(plan: object, client: str, samples: Samples, **others: object) -> object:
        seen.append(client)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(plan, client, samples, **others)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(collabdm.rounds.contributing, "contribute", interrupted)
    outcome = run(*arguments)
    assert outcome.code == 130
    told = "error: interrupted; the same command with --resume goes on from here"
    assert outcome.err.splitlines()[-1] == told
    assert outcome.out == ""
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "contributions").iterdir()}
    assert len(kept) == 2
    resumed = run(*arguments, "--resume")
    assert resumed.code == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    whole = simulated[0] / "distilled" / "distilled.safetensors"
    assert (tmp_path / "run" / "distilled" / "distilled.safetensors").read_bytes() == whole.read_bytes()


def test_a_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, report: object, **others: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(collabdm.simulation.simulate, "simulate", broken)
    with pytest.raises(ZeroDivisionError):
        run("simulate", "--out", tmp_path / "run")


def test_markup_in_messages_is_not_interpreted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulated: Simulated
) -> None:
    metrics = simulated[1].json

    def told(*arguments: object, report: object, **others: object) -> object:
        assert callable(report)
        report(Event(stage="collect", done=1, total=1, message="refused [red]x[/red]"))
        return metrics

    monkeypatch.setattr(collabdm.simulation.simulate, "simulate", told)
    outcome = run("simulate", "--out", tmp_path / "run", "--dataset", "[b]here[/b]", "--quiet")
    assert outcome.err == "refused [red]x[/red]\n"
    assert "[b]here[/b]" in outcome.out


def test_compare_prints_the_rows_it_writes(tmp_path: Path) -> None:
    arguments = ("compare", "--dataset", "digits", *TINY, "--methods", "random-real, local-dm", "--quiet")
    rows = run(*arguments, "--out", tmp_path / "run", "--json").json
    assert rows == json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert [row["method"] for row in rows] == ["random-real", "local-dm"]
    assert rows[0]["bytes_up"] == 0 < rows[1]["bytes_up"]
    table = run(*arguments, "--out", tmp_path / "run", "--resume").out.splitlines()
    header = "method accuracy macro-F1 protocol down each up each rounds client s server s seconds"
    assert table[0].split() == header.split()
    assert [line.split()[0] for line in table[1:]] == ["random-real", "local-dm"]
    assert f"{100 * rows[1]['accuracy_mean']:.1f} ±" in table[2]
    assert f"{100 * rows[1]['macro_f1_mean']:.1f} %" in table[2]
    assert [row["protocol"] for row in rows] == ["fast", "fast"]
    assert all("  fast  " in line for line in table[1:])
    assert [line.split()[-1] for line in table[1:]] == [f"{row['seconds']:.1f}" for row in rows]


def test_compare_has_a_column_for_every_kind_of_judge(tmp_path: Path) -> None:
    judges = ("--networks", "ridge,knn", "--set", "ipc=3")
    arguments = ("compare", "--dataset", "digits", *TINY, *judges, "--methods", "random-real,central-kmeans", "--quiet")
    rows = run(*arguments, "--out", tmp_path / "run", "--json").json
    assert [row["networks"] for row in rows] == [["ridge", "knn"]] * 2
    table = run(*arguments, "--out", tmp_path / "run", "--resume").out.splitlines()
    assert table[0].split()[:4] == ["method", "accuracy", "knn", "ridge"]
    for row, line in zip(rows, table[1:], strict=True):
        found = row["by_network"]
        assert row["accuracy_mean"] == pytest.approx((found["knn"]["mean"] + found["ridge"]["mean"]) / 2)
        assert f"{100 * found['knn']['mean']:.1f}" in line
    # Centres of all data are a bar that a few random samples do not reach.
    assert rows[1]["by_network"]["knn"]["mean"] > rows[0]["by_network"]["knn"]["mean"] + 0.03
