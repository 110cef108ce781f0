"""The grids of a few samples a class, at the example of series: what is crossed, what stands in, and the table."""

from collections.abc import Mapping

from collabdm.data import load_dataset
from collabdm.experiments import EXPERIMENTS, SCALES
from collabdm.experiments.base import Cell, config_of
from collabdm.experiments.few_samples import METHODS
from collabdm.planning import networks_tested
from collabdm.series.modality import Series

SERIES = EXPERIMENTS["series"]


def cells_at(scale: str) -> dict[str, Cell]:
    return {cell.name: cell for cell in SERIES.cells(SCALES[scale])}


def test_sizes_are_those_that_a_data_set_has() -> None:
    cells = cells_at("cpu-best")
    # Of a data set: at its sizes three pooled methods, and under two skews four of a round and three models; and all.
    assert len(cells) == sum(3 * sizes + 2 * (4 * sizes + 3) + 1 for sizes in (2, 3, 3, 3))
    assert "italy_power_demand-0.1-ipc10-collabdm" in cells
    assert not [name for name in cells if name.startswith("basic_motions") and "ipc10" in name]
    first = list(cells)[: 4 * len(METHODS)]
    assert all("ipc5" in name or "ipc" not in name for name in first)
    assert not any("0.5" in name for name in first)


def test_every_method_has_the_same_round_and_the_same_judges() -> None:
    configs = {name: config_of(cell, SCALES["cpu-best"]) for name, cell in cells_at("cpu-best").items()}
    assert {config.modality for config in configs.values()} == {"series"}
    judges = {tuple(one.name for one in config.evaluate.networks or ()) for config in configs.values()}
    assert judges == {("convnet1d", "rocket-ridge", "knn")}
    ours = configs["japanese_vowels-0.1-ipc5-collabdm"]
    assert (ours.dataset, ours.partition.beta, ours.ipc) == ("series:japanese_vowels", 0.1, 5)
    assert (ours.local.method, ours.server.lr) == ("kmeans", Series.rate)
    theirs = configs["japanese_vowels-0.1-ipc5-local-dm"]
    alike = {"method", "local", "server"}
    assert theirs.model_dump(exclude=alike) == ours.model_dump(exclude=alike)
    assert theirs.local == ours.local.model_copy(update={"method": "dm"})
    # The recipe of images that the other presets have is none for series.
    for scale in ("paper", "smoke"):
        assert config_of(cells_at(scale)["basic_motions-0.1-ipc5-collabdm"], SCALES[scale]).server == ours.server


def test_a_scale_that_needs_no_data_takes_no_stand_in_twice() -> None:
    cells = cells_at("smoke")
    assert len(cells) == len(METHODS)
    assert {(cell.dataset, cell.stand_in) for cell in cells.values()} == {("series:basic_motions", "series:digits")}
    config = config_of(cells["basic_motions-0.1-ipc5-collabdm"], SCALES["smoke"], dataset="series:digits")
    names = [spec.name for spec in networks_tested(config, load_dataset("series:digits", modality="series").preset)]
    assert names == ["convnet1d", "rocket-ridge", "knn"]
    # Of tables two things stand in.
    assert {cell.stand_in for cell in EXPERIMENTS["tables"].cells(SCALES["smoke"])} == {"wine", "breast_cancer"}


def record(method: str, dataset: str, networks: Mapping[str, float], **more: object) -> dict[str, object]:
    return {
        "cell": method,
        "dataset": dataset,
        "rank": 0,
        "note": "",
        "config": {"method": method, "ipc": 5, "partition": {"beta": 0.1}},
        "accuracy": {"networks": [{"network": name, "accuracy": value} for name, value in networks.items()]},
        "bytes": {"up": {"a": 1_000_000, "b": 2_000_000}},
    } | more


def test_the_table_has_a_line_a_cell_in_the_order_of_the_grid() -> None:
    judged = {"convnet1d": 0.5, "rocket-ridge": 0.61, "knn": 0.7}
    records = [
        record("full-data", "pendigits", {}, failed="no series"),
        record("fedavg", "pendigits", {"convnet1d": 0.33}),
        record("random-real", "series:basic_motions", judged, bytes={"up": {}}),
        record("collabdm", "series:basic_motions", judged),
    ]
    lines = SERIES.table(records).splitlines()
    assert lines[0].startswith("| data set | beta | series a class | method | convnet1d | rocket-ridge | knn |")
    assert lines[2:] == [
        "| basic_motions | 0.1 | 5 | collabdm | 50.0 | 61.0 | 70.0 |  | 2.00 |  |",
        "| basic_motions | pooled | 5 | random-real | 50.0 | 61.0 | 70.0 |  | 0.00 |  |",
        "| pendigits | 0.1 |  | fedavg |  |  |  | 33.0 | 2.00 |  |",
        "| pendigits | pooled | all | full-data |  |  |  |  |  | no series |",
    ]
