"""How far an experiment is, and what remains."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collabdm.data.presets import PRESETS
from collabdm.errors import RunFolderError
from collabdm.experiments import experiment_named
from collabdm.experiments.base import Cell, Experiment, config_of
from collabdm.experiments.records import opened, write_record, write_spent
from collabdm.experiments.status import GFLOP_PER_SECOND, status_of
from collabdm.modalities import MODALITIES
from collabdm.planning import work_of
from collabdm.storage.files import write_json
from experiments.tiny_experiment import EXPERIMENT, SCALE, cells, registered

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


def begun(folder: Path) -> Path:
    opened(folder, {"experiment": "tiny", "preset": "tiny", "settings": [], "stand_ins": {}})
    return folder


def work(cell: Cell) -> float:
    preset = PRESETS["digits"]
    return work_of(config_of(cell, SCALE), preset)


def note(folder: Path, cell: Cell, spent: float, **others: object) -> None:
    config = config_of(cell, SCALE).model_dump(mode="json", exclude_none=True)
    told = {"rank": cell.rank, "dataset": cell.dataset, "paper": None, "note": "", "config": config}
    results = {"accuracy": {"mean": 0.5, "std": 0.0, "macro_f1": {"mean": 0.5}, "networks": []}, "bytes": {"up": {}}}
    write_record(folder, {"cell": cell.name, "digest": "", "spent": spent, **told, **results, **others})


def test_with_nothing_measured_the_rate_is_the_documented_one(tmp_path: Path) -> None:
    found = status_of(EXPERIMENT, begun(tmp_path / "out"))
    assert [one.state for one in found.cells] == ["left"] * 3
    assert [one.cell.rank for one in found.cells] == [0, 1, 2]
    assert found.remaining == pytest.approx(sum(map(work, cells(SCALE))) / GFLOP_PER_SECOND)


def test_what_remains_follows_from_finished_cells_of_the_method_and_their_work(tmp_path: Path) -> None:
    folder = begun(tmp_path / "out")
    small, large, other = (
        Cell(name=name, options={"dataset": "digits", "method": method, "ipc": ipc}, rank=rank)
        for rank, (name, method, ipc) in enumerate(
            [("small", "collabdm-pae", 2), ("large", "collabdm-pae", 6), ("other", "random-real", 2)]
        )
    )
    experiment = Experiment(name="tiny", summary="", cells=lambda scale: (small, large, other))
    note(folder, small, 30.0)
    write_spent(folder, {"small": 30.0, "large": 5.0})
    found = {one.cell.name: one for one in status_of(experiment, folder).cells}
    assert (found["small"].state, found["small"].spent, found["small"].remaining) == ("finished", 30.0, 0.0)
    assert found["large"].state == "begun"
    assert found["large"].remaining == pytest.approx(30.0 * work(large) / work(small) - 5.0)
    # No cell of its method is finished: the rate of all.
    assert found["other"].remaining == pytest.approx(30.0 * work(other) / work(small))


def test_records_alone_say_what_was_spent(tmp_path: Path) -> None:
    folder, cell = begun(tmp_path / "out"), cells(SCALE)[0]
    note(folder, cell, 30.0)
    found = status_of(EXPERIMENT, folder)
    assert found.spent == 30.0
    assert {one.cell.name: one.spent for one in found.cells}[cell.name] == 30.0


@pytest.mark.parametrize("modality", list(MODALITIES))
def test_data_of_every_kind_are_counted_before_they_are_read(modality: str, tmp_path: Path) -> None:
    options = {"dataset": "not-read-yet", "modality": modality, "method": "collabdm", "plan.network": "random-features"}
    experiment = replace(EXPERIMENT, cells=lambda scale: (Cell(name="one", options=options, rank=0),))
    scale = {"experiment": "tiny", "preset": "cpu-best", "settings": [], "stand_ins": {}}
    opened(tmp_path / "out", scale)
    assert status_of(experiment, tmp_path / "out").remaining > 0


def test_rivals_that_were_not_measured_are_uncounted(tmp_path: Path) -> None:
    folder = begun(tmp_path / "out")
    rivals = [
        Cell(name=f"{method}-{ipc}", options={"dataset": "digits", "method": method, "ipc": ipc}, rank=rank)
        for rank, (method, ipc) in enumerate([("dosfl", 2), ("dosfl", 3), ("fedavg", 2), ("random-real", 2)])
    ]
    experiment = Experiment(name="tiny", summary="", cells=lambda scale: tuple(rivals))
    assert status_of(experiment, folder).uncounted == ("dosfl", "fedavg")
    note(folder, rivals[0], 30.0)
    assert status_of(experiment, folder).uncounted == ("fedavg",)
    note(folder, rivals[2], 30.0)
    assert status_of(experiment, folder).uncounted == ()


def test_a_failed_cell_is_one_that_remains(tmp_path: Path) -> None:
    folder, cell = begun(tmp_path / "out"), cells(SCALE)[0]
    note(folder, cell, 1.0, failed="no data")
    found = status_of(EXPERIMENT, folder)
    assert (found.count("failed"), found.count("left"), found.count("finished")) == (1, 2, 0)
    assert [one.why for one in found.cells if one.state == "failed"] == ["no data"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "5",
        "\xff",
        "[" * 100_000,
        *(f'{{"a": {value}}}' for value in ('"x"', "NaN", "1e999", "-5", "9" * 400)),
    ],
)
def test_a_damaged_file_of_seconds_is_told(content: str, tmp_path: Path) -> None:
    folder = begun(tmp_path / "out")
    (folder / "spent.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunFolderError, match=r"spent\.json: got another file; .*; fix: remove it$"):
        status_of(EXPERIMENT, folder)


@pytest.mark.parametrize("changed", [{"preset": 5}, {"settings": "a=1"}, {"settings": [1]}, {"stand_ins": []}])
def test_damaged_facts_are_told(changed: dict[str, Any], tmp_path: Path) -> None:
    folder = begun(tmp_path / "out")
    write_json(folder / "experiment.json", json.loads((folder / "experiment.json").read_text()) | changed)
    with pytest.raises(RunFolderError, match=r"experiment\.json: got .*; expected what an experiment was begun with;"):
        status_of(EXPERIMENT, folder)


@pytest.mark.parametrize(
    "damage",
    [
        {"config": None},
        {"config": {}},
        {"spent": "long"},
        {"spent": 1e300},
        {"accuracy": None},
        {"accuracy": {"mean": "high"}},
        {"accuracy": {"mean": 0.5, "std": 0.0, "networks": []}},
        {"bytes": {}},
        {"cell": "../other"},
        {"rank": None},
        {"failed": 3},
    ],
)
def test_a_damaged_record_is_told(damage: dict[str, Any], tmp_path: Path) -> None:
    folder, cell = begun(tmp_path / "out"), cells(SCALE)[0]
    note(folder, cell, 1.0)
    path = folder / "cells" / f"{cell.name}.json"
    write_json(path, json.loads(path.read_text()) | damage)
    with pytest.raises(
        RunFolderError, match=rf"{cell.name}\.json: got .*; fix: remove the file, and run the cell again$"
    ):
        status_of(EXPERIMENT, folder)


@pytest.mark.parametrize("folder", sorted(RESULTS.glob("*/*/experiment.json")), ids=lambda path: str(path.parent)[-12:])
def test_committed_records_are_read(folder: Path) -> None:
    folder = folder.parent
    found = status_of(experiment_named(folder.parent.name), folder)
    assert folder.name.startswith(found.scale.name)  # settings over the preset follow
    assert found.count("finished") == len(list((folder / "cells").iterdir())) > 0
    assert found.spent > 500
    assert "failed" not in {one.state for one in found.cells}


def test_other_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="got none"):
        status_of(EXPERIMENT, tmp_path / "nothing")
    folder = begun(tmp_path / "out")
    with pytest.raises(RunFolderError, match="got tiny; expected experiment other"):
        status_of(replace(EXPERIMENT, name="other"), folder)


def test_records_of_another_version_are_counted_by_what_the_cell_is_here(tmp_path: Path) -> None:
    first, second = (begun(tmp_path / name) for name in ("first", "second"))
    for folder in (first, second):
        note(folder, cells(SCALE)[0], 30.0)
    path = second / "cells" / f"{cells(SCALE)[0].name}.json"
    record = json.loads(path.read_text())
    write_json(path, record | {"config": record["config"] | {"no_longer_known": 1}})
    assert status_of(EXPERIMENT, second).remaining == status_of(EXPERIMENT, first).remaining > 0
