"""Every experiment end to end at the smallest scale, without the network and without data."""

import time
from pathlib import Path

import pytest

from collabdm.experiments import EXPERIMENTS, SCALES, Outcome, run_experiment
from experiments.tiny_experiment import records_in


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_smoke(name: str, tmp_path: Path) -> None:
    experiment, started = EXPERIMENTS[name], time.monotonic()
    count = len(experiment.cells(SCALES["smoke"]))
    outcome = run_experiment(experiment, SCALES["smoke"], tmp_path / "out")
    assert outcome == Outcome(finished=count, failed={}, left=0)
    assert time.monotonic() - started < 600
    records = records_in(tmp_path / "out")
    assert all("stands in for" in record["note"] and record["paper"] is None for record in records.values())
    # Enough to tell a run that works from one that does not: all data teach ten digits.
    if name == "table2":
        assert records["mnist-full-data"]["accuracy"]["mean"] > 0.7
    assert experiment.table(list(records.values())).count("\n") >= 2  # a header, its line, and a row at least
