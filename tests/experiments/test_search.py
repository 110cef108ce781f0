"""The search's accuracies are those of its own trainings, all cells share that on all data, and tables tell it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.config import Config
from collabdm.data import Samples, load_dataset
from collabdm.distilled.set import load
from collabdm.engine import EAGER
from collabdm.evaluation import networks
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.networks import network_seed
from collabdm.experiments import SCALES, search
from collabdm.experiments.base import FinishedRun, Record, config_of
from collabdm.experiments.nas import METHODS, NAS, SEARCHES
from collabdm.experiments.search import Search, scores_of, searched
from collabdm.networks import ClassifierSpec
from collabdm.planning import augmentation_for, sample_for
from collabdm.progress import Event, silent
from collabdm.randomness import Stream
from collabdm.simulation.pooled import random_real_set
from collabdm.training.loop import train
from collabdm.training.recipes import Recipe
from collabdm.training.testing import Voter
from collabdm.training.testing import test_accuracy as accuracy_of
from collabdm.training.training_set import TrainingSet

SMALL = [
    ClassifierSpec.model_validate({"name": "convnet", "width": 4, "depth": depth, "norm": norm})
    for depth, norm in ((1, "none"), (1, "batch"), (2, "instance"), (4, "group"))
]
# A network is shown 130 of all data once, and the twenty of the set three times.
SEARCH = Search(full=130, shown=60, test=50, networks=3, lr=0.05, batch=16)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    data, folder = load_dataset("digits"), tmp_path_factory.mktemp("search")
    config = Config(dataset="digits", method="random-real", ipc=2)
    run = FinishedRun(
        dataset=data, config=config, folder=folder / "set", engine=EAGER, report=silent, kept=folder / "kept"
    )
    random_real_set(data, config, engine=EAGER).save(run.folder / "distilled")
    return run


@pytest.fixture(autouse=True)
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "GRID", tuple(SMALL))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what networks are trained on, one for each training."""
    sizes: list[int] = []

    def counted(training: TrainingSet, *arguments: Any, **more: Any) -> Any:
        sizes.append(len(training.labels))
        return train(training, *arguments, **more)

    monkeypatch.setattr(networks, "train", counted)
    return sizes


def part(samples: Samples, count: int) -> Samples:
    return samples.take(samples.split_indices(count / len(samples), Stream(0, "experiments", "share"))[1])


def test_accuracies_are_those_of_two_trainings_of_each_network(finished: FinishedRun) -> None:
    found = searched(finished, SEARCH)
    # Four poolings are too many for 8x8.
    assert found["networks"] == [spec.label for spec in SMALL[:3]]
    left_out = {name: found["search"][name] for name in ("grid", "too_deep", "too_costly", "not_drawn")}
    assert left_out == {"grid": 4, "too_deep": 1, "too_costly": 0, "not_drawn": 0}
    assert found["samples"] == {"proxy": 20, "test": 50}
    sample, test = sample_for(finished.config, finished.dataset.preset), part(finished.dataset.test, 50)
    real = part(finished.dataset.train, 130)
    augment = augmentation_for(finished.config, finished.dataset.preset)
    full = TrainingSet(samples=real, labels=torch.from_numpy(real.labels), sample=sample, augment=augment)
    proxy = training_set(load(finished.folder / "distilled"))
    for name, training, epochs, index in (("full", full, 1, 1), ("proxy", proxy, 3, 0)):
        recipe = Recipe(name="x", count=1, epochs=epochs, lr=0.05, batch=16, schedule="cosine")
        for spec, accuracy in list(zip(SMALL[:3], found[name], strict=True))[:2]:
            seed = network_seed(0, spec, index)
            learned = train(training, spec, classes=10, recipe=recipe, seed=seed, engine=EAGER)
            assert accuracy == accuracy_of((Voter(network=spec, parameters=learned),), test, sample, EAGER).accuracy


def test_all_cells_share_the_training_on_all_data_and_nothing_is_computed_twice(
    finished: FinishedRun, trained: list[int]
) -> None:
    searched(finished, SEARCH)
    trained.clear()
    early = replace(
        finished,
        config=finished.config.model_copy(update={"method": "full-data"}),
        folder=finished.folder.with_name("early"),
    )
    found = searched(early, SEARCH)
    assert trained == [60] * 3  # early stopping alone: as many as the set gets, each once
    assert found["full"] == searched(finished, SEARCH)["full"]
    assert searched(early, SEARCH) == found
    assert trained == [60] * 3


def test_an_interrupted_search_goes_on(finished: FinishedRun, trained: list[int], tmp_path: Path) -> None:
    def interrupting(event: Event) -> None:
        if event.stage == "evaluate" and event.done == 2 and len(trained) == 2:
            raise KeyboardInterrupt

    again = replace(finished, kept=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        searched(replace(again, report=interrupting), SEARCH)
    # The one under way is trained again; the first is not.
    assert {**searched(again, SEARCH), "seconds": 0} == {**searched(finished, SEARCH), "seconds": 0}
    assert trained == [130] * 4


def test_what_is_left_out_is_told(finished: FinishedRun) -> None:
    told: list[str] = []
    run = replace(finished, report=lambda event: told.append(event.message or ""))
    fewer = replace(SEARCH, networks=1, gigaflop=7e-6)
    assert len(searched(run, fewer)["networks"]) == 1
    assert "1 of the 4 networks of the grid (1 too deep for such images, 1 too costly, 1 not drawn)" in told


def test_a_network_is_drawn_whatever_the_seed(finished: FinishedRun) -> None:
    one = replace(SEARCH, networks=2)
    other = replace(finished, config=finished.config.model_copy(update={"seed": 5}))
    assert searched(other, one)["networks"] == searched(finished, one)["networks"]


def record(method: str, rank: int, proxy: list[float] | None) -> dict[str, Any]:
    full = [0.5 + 0.01 * place for place in range(30)]
    found: dict[str, Any] = {"dataset": "digits", "rank": rank, "note": "", "config": {"method": method, "seed": 0}}
    if proxy is None:
        return {**found, "failed": "no | data"}
    measured = {
        **{"networks": [f"n{place}" for place in range(30)], "full": full, "proxy": proxy, "search": {"grid": 720}},
        **{"samples": {"proxy": 1234}, "seconds": {"full": 30.0, "proxy": 4.0}},
        "scores": scores_of(np.array(full), np.array(proxy), seed=0),
    }
    return {**found, "measured": measured}


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    rising, nearly = [float(place) for place in range(30)], [float(place) for place in range(30)]
    nearly[3:5] = nearly[4], nearly[3]
    # Two neighbours of thirty exchanged: 1 - 12 / (30 * 899).
    line = table_of([record("collabdm-pae", 0, nearly), record("full-data", 1, rising)])[-1]
    assert line.startswith("| digits | early stopping | 0.00 [")
    assert "-0.00" not in line


def table_of(records: list[Record]) -> list[str]:
    return NAS.table(records).splitlines()


def test_the_table_has_correlations_regret_and_time_and_how_far_ours_is_ahead() -> None:
    rising, falling = [float(place) for place in range(30)], [float(-place) for place in range(30)]
    lines = table_of(
        [
            record("random-real", 2, falling),
            record("collabdm-pae", 0, rising),
            record("central-herding", 3, None),
            record("full-data", 1, [0.1] * 30),
        ]
    )
    assert lines[2].startswith("| digits | collabdm-pae | 1,234 | 30 of 720 | 1.00 [1.00, 1.00] | 1.00 [")
    assert lines[2].endswith("| 0.0 | 7.5 |  |")
    # Where all are equal, one draws: the mean of 0.5 to 0.79 lies 14.5 points below the best.
    assert lines[3] == (
        "| digits | early stopping | 1,234 | 30 of 720 "
        "| not defined | not defined | not defined | not defined | 14.5 | 7.5 |  |"
    )
    assert lines[4].startswith("| digits | random-real | 1,234 | 30 of 720 | -1.00 [-1.00, -1.00] |")
    assert lines[4].endswith("| 29.0 | 7.5 |  |")
    assert "no \\| data" in lines[5]
    assert lines[-1].startswith("| digits | random-real | 2.00 [2.00, 2.00] | 2.00 [")


def test_networks_without_batch_norm_have_a_table_of_their_own() -> None:
    # The first ten, which have batch norm, are ranked the wrong way round; without them nothing is.
    found = record("collabdm-pae", 0, [float(40 - place if place < 10 else place) for place in range(30)])
    found["measured"]["networks"] = [f"n{n} norm={'batch' if n < 10 else 'none'} relu" for n in range(30)]
    lines = table_of([found])
    assert len(lines) == 3 + 1 + 3
    assert lines[-1].startswith("| digits | collabdm-pae | 20 | 1.00 [1.00, 1.00] | 1.00 [")
    assert lines[-1].endswith("| 0.0 |")
    assert not lines[2].startswith("| digits | collabdm-pae | 1,234 | 30 of 720 | 1.00")


def test_other_networks_are_not_compared() -> None:
    ours, other = record("collabdm-pae", 0, [0.1] * 30), record("random-real", 1, [0.1] * 30)
    other["measured"]["networks"] = other["measured"]["networks"][::-1]
    assert len(table_of([ours, other])) == 4


def test_the_grid_s_scales() -> None:
    assert set(SEARCHES) == set(SCALES)
    for name, scale in SCALES.items():
        cells = NAS.cells(scale)
        assert [cell.options["method"] for cell in cells] == list(METHODS)
        whole = name in ("paper", "best")
        assert {config_of(cell, scale).dataset for cell in cells} == {"cifar10" if whole else "fashion_mnist"}
        assert (SEARCHES[name].networks is None) == whole
    assert (SEARCHES["cpu"].networks or 0) >= 60
