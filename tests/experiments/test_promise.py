"""What a promise costs: the teacher of a masked round is tested on all test samples, and both are in the table."""

from pathlib import Path
from typing import Any

import pytest

from collabdm.config import Config
from collabdm.data import load_dataset
from collabdm.engine import EAGER
from collabdm.experiments import SCALES
from collabdm.experiments.base import FinishedRun, config_of
from collabdm.experiments.promise import PROMISE, SEEDS
from collabdm.progress import silent
from collabdm.simulation.simulate import simulate
from collabdm.storage.files import read_json


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("run")
    config = Config(
        dataset="digits",
        method="collabdm",
        ipc=1,
        plan={
            "seeds": 1,
            "network": {"name": "convnet", "width": 4, "depth": 1},
            "features": {"name": "patches", "width": 16},
            "privacy": {"epsilon": 100, "samples": 2000},
            "masks": {"threshold": 2},
        },
        partition={"kind": "iid", "clients": 2},
        server={"passes": 1},
        evaluate={"count": 1, "epochs": 1, "protocol": "fast"},
        engine=EAGER.model_dump(),
    )
    simulate(config, folder / "run")
    return FinishedRun(
        dataset=load_dataset("digits"), config=config, folder=folder / "run", engine=EAGER, report=silent
    )


def test_the_teacher_is_tested_as_evaluate_tests_it(finished: FinishedRun) -> None:
    assert PROMISE.measure is not None
    (found,) = PROMISE.measure(finished)["teacher"]
    assert found > 0.5
    assert round(found * len(finished.dataset.test)) == pytest.approx(found * len(finished.dataset.test))


def test_a_line_has_the_set_and_the_teacher(finished: FinishedRun) -> None:
    assert PROMISE.measure is not None
    metrics: dict[str, Any] = read_json(finished.folder / "metrics.json", dict)
    record = {
        "dataset": "digits",
        "rank": 0,
        "note": "told",
        "config": finished.config.model_dump(mode="json"),
        "measured": {"teacher": [0.5, 0.25]},
        **{name: metrics[name] for name in ("accuracy", "bytes")},
    }
    failed = {"dataset": "zoo", "rank": 1, "config": record["config"], "failed": "no data"}
    line, other = PROMISE.table([failed, record]).splitlines()[2:]
    assert [part.strip() for part in line.strip("|").split("|")][:4] == ["digits", "1", "100", "site"]
    assert "| 37.5 |" in line
    assert "no data" in other


@pytest.mark.parametrize("scale", ["cpu", "cpu-best", "paper", "smoke"])
def test_every_cell_refines_its_set_as_a_plan_of_few_seeds_does(scale: str) -> None:
    for cell in PROMISE.cells(SCALES[scale]):
        config = config_of(cell, SCALES[scale])
        assert config.plan.seeds == SEEDS
        assert config.plan.masks is not None
        assert config.plan.masks.threshold == config.partition.clients
        assert (config.server.step, config.server.lr) == ("joint", 20.0)
        assert scale == "smoke" or config.server.passes * SEEDS >= 600


def test_without_a_teacher_there_is_none(finished: FinishedRun, tmp_path: Path) -> None:
    assert PROMISE.measure is not None
    empty = FinishedRun(dataset=finished.dataset, config=finished.config, folder=tmp_path, engine=EAGER, report=silent)
    assert PROMISE.measure(empty) == {"teacher": []}
