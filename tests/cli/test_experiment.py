"""`collabdm experiment`: list, run, status, report, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import Outcome, assert_refused, run
from collabdm.experiments import EXPERIMENTS
from collabdm.storage.files import write_json
from experiments.tiny_experiment import EXPERIMENT, records_in, registered


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(scope="module")
def begun(_registered: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """One of three cells run."""
    out = tmp_path_factory.mktemp("experiment") / "out"
    return out, run("experiment", "run", "tiny", "--preset", "tiny", "--out", out, "--only", "*-real", "--quiet")


def test_what_there_is_to_run() -> None:
    listed = run("experiment", "list")
    assert listed.code == 0
    assert all(f"  {name} " in listed.out for name in (*EXPERIMENTS, "cpu-best", "smoke"))
    found = run("experiment", "list", "--json").json
    assert {one["name"]: one["cells"]["tiny"] for one in found["experiments"]}["tiny"] == 3


def test_the_cells_of_an_experiment_by_rank() -> None:
    names = ["digits-collabdm-pae", "digits-random-real", "digits-local-dm-pae"]
    assert run("experiment", "list", "tiny", "--preset", "tiny").out.splitlines() == names
    found = run("experiment", "list", "tiny", "--preset", "tiny", "--json").json
    assert [one["cell"] for one in found["cells"]] == names
    assert found["cells"][0]["paper"] == 90.0
    assert len(run("experiment", "list", "table2", "--preset", "paper").out.splitlines()) == 508
    assert_refused(run("experiment", "list", "table9"), "expected one of table2")
    assert_refused(run("experiment", "list", "tiny", "--preset", "huge"), "--preset")


def test_status_of_a_large_grid_says_where_the_names_are(tmp_path: Path) -> None:
    begun = {"experiment": "table2", "preset": "cpu", "settings": [], "stand_ins": {}}
    write_json(tmp_path / "out" / "experiment.json", begun)
    shown = run("experiment", "status", "table2", "--out", tmp_path / "out").out
    assert "508 left: collabdm experiment list table2 --preset cpu names them" in shown
    assert "remaining, at least" in shown


def test_a_run_prints_its_table_and_what_remains(begun: tuple[Path, Outcome]) -> None:
    out, outcome = begun
    assert outcome.code == 0, outcome.err
    assert "| digits-random-real | " in outcome.out
    assert "1 finished, 2 left" in outcome.out
    table = EXPERIMENT.table(list(records_in(out).values()))
    assert (out / "table.md").read_text() == f"{table}\n\nSets are judged by the protocol fast.\n"


def test_status_estimates_what_remains(begun: tuple[Path, Outcome]) -> None:
    out, _ = begun
    found = run("experiment", "status", "tiny", "--out", out, "--json").json
    assert [found[state] for state in ("finished", "failed", "begun", "left")] == [1, 0, 0, 2]
    assert found["remaining"] > 0
    assert {one["cell"]: one["state"] for one in found["cells"]}["digits-random-real"] == "finished"
    shown = run("experiment", "status", "tiny", "--out", out)
    assert "digits-collabdm-pae" in shown.out
    assert "remaining, about" in shown.out


def test_a_report_has_the_cells(begun: tuple[Path, Outcome]) -> None:
    out, _ = begun
    outcome = run("experiment", "report", "tiny", "--out", out)
    assert outcome.code == 0, outcome.err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "digits-random-real" in page
    assert page.count('src="data:image/png') == 20


def test_preset_and_settings_are_remembered(begun: tuple[Path, Outcome], tmp_path: Path) -> None:
    out, _ = begun
    again = run("experiment", "run", "tiny", "--out", out, "--only", "*-real", "--quiet")
    assert again.code == 0, again.err
    assert_refused(run("experiment", "run", "tiny", "--preset", "smoke", "--out", out, "--quiet"), "preset")
    assert_refused(run("experiment", "run", "tiny", "--out", out, "--set", "plan.seeds=9", "--quiet"), "settings")


def test_a_budget_that_is_spent_is_told(tmp_path: Path) -> None:
    outcome = run(
        "experiment", "run", "tiny", "--preset", "tiny", "--out", tmp_path / "out", "--budget", "0s", "--quiet"
    )
    assert outcome.code == 0
    assert "the budget is spent, in digits-collabdm-pae" in outcome.err
    assert "3 left" in outcome.out


def test_settings_stand_below_the_table(tmp_path: Path) -> None:
    given = ("--preset", "tiny", "--set", "plan.batch=6", "--out", tmp_path / "out", "--budget", "0s", "--quiet")
    assert "Settings over the preset: plan.batch=6." in run("experiment", "run", "tiny", *given).out
    assert (tmp_path / "out" / "table.md").read_text().endswith("Settings over the preset: plan.batch=6.\n")


def test_data_that_cannot_be_had_fail_their_cells_and_the_exit_code_says_so(tmp_path: Path) -> None:
    given = ("--data", f"digits={tmp_path / 'absent'}", "--only", "*-real")
    outcome = run("experiment", "run", "tiny", "--preset", "tiny", "--out", tmp_path / "out", *given, "--quiet")
    assert outcome.code == 2
    assert "failed: digits-random-real: data set" in outcome.err
    assert "1 failed, 2 left" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (("run", "table9"), "expected one of table2"),
        (("run", "tiny", "--preset", "huge"), "--preset"),
        (("run", "tiny", "--preset", "tiny", "--budget", "soon"), "--budget"),
        (("run", "tiny", "--preset", "tiny", "--data", "digits"), "NAME=PATH"),
        (("run", "tiny", "--preset", "tiny", "--data", "svhn=here"), "expected one of digits"),
        (("run", "tiny", "--preset", "tiny", "--only", "no*"), "see `experiment list NAME"),
        (("run", "tiny", "--preset", "tiny", "--executor", "dask"), "expected one of local, ray, slurm"),
        (("run", "tiny", "--preset", "tiny", "--resource", "num_cpus=2"), "expected --executor ray or slurm with it"),
        (("run", "tiny", "--preset", "tiny", "--executor", "ray", "--resource", "cpus"), "expected KEY=VALUE"),
        (("run", "tiny", "--preset", "tiny", "--set", "ipc=x"), "ipc"),
        (("run", "figure2", "--set", 'partition={kind="dirichlet"}'), "no factor of the experiment's grid"),
        (("status", "tiny"), "got none"),
        (("report", "tiny"), "got none"),
    ],
)
def test_bad_input_is_told_in_a_line(tmp_path: Path, arguments: tuple[str, ...], mentions: str) -> None:
    out = tmp_path / "out"
    assert_refused(run("experiment", *arguments, "--out", out), mentions)
    assert not out.exists()
