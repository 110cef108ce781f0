"""The experiments' grids: valid, distinct, the most informative first, with the paper's figures where they belong."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from collabdm.config import load_config
from collabdm.config.server import UNBOUNDED
from collabdm.errors import ConfigError
from collabdm.experiments import EXPERIMENTS, SCALES, Scale, experiment_named, scale_named
from collabdm.experiments.base import Cell, check_settings, config_of
from collabdm.experiments.table2 import DATASETS, METHODS, paper_figure

EVERY = [(name, scale) for name in EXPERIMENTS for scale in SCALES]


def cells_of(name: str, scale: str) -> dict[str, Cell]:
    return {cell.name: cell for cell in EXPERIMENTS[name].cells(SCALES[scale])}


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_every_cell_is_a_valid_run_with_a_file_name_and_a_rank_of_its_own(name: str, scale: str) -> None:
    cells = EXPERIMENTS[name].cells(SCALES[scale])
    configs = [config_of(cell, SCALES[scale]) for cell in cells]
    assert len({cell.name for cell in cells}) == len({cell.rank for cell in cells}) == len(cells)
    assert all(re.fullmatch(r"[a-z0-9_.-]+", cell.name) for cell in cells)
    # No run twice, but for what the names of stand-ins hide.
    runs = {(config.model_dump_json(), json.dumps(cell.factors)) for cell, config in zip(cells, configs, strict=True)}
    assert len(runs) == len(cells)
    assert all((cell.paper is None and not cell.anchors) or cell.paper_source for cell in cells)


def test_what_scales_promise() -> None:
    cell = cells_of("table2", "paper")["cifar10-ipc50-dirichlet-reserved-0.1-collabdm-pae"]
    paper, best, cpu, cpu_best = (config_of(cell, SCALES[name]) for name in ("paper", "best", "cpu", "cpu-best"))
    for exact in (paper, best):
        assert (exact.ipc, exact.plan.seeds, exact.plan.batch, exact.local.iterations) == (50, 200, 512, 1000)
        assert (exact.evaluate.protocol, exact.evaluate.count, exact.repeats) == ("paper", None, 5)
        assert exact.partition.kind == "dirichlet-reserved"
    for reduced in (cpu, cpu_best):
        assert (reduced.plan.seeds, reduced.plan.batch, reduced.local.iterations) == (100, 128, 300)
        assert (reduced.evaluate.protocol, reduced.evaluate.count, reduced.repeats) == ("fast", 1, 1)
        assert reduced.local.reuse
    for recipe in (paper, cpu):
        server = recipe.server
        assert (server.step, server.passes, server.lr, server.weighting) == ("per-class", 1, 10.0, "uniform")
        assert server.reach == UNBOUNDED
        assert recipe.plan.augment == ("colour", "crop", "cutout", "flip", "scale", "rotate")
    for ours in (best, cpu_best):
        assert (ours.server.step, ours.server.passes, ours.server.weighting) == ("joint", 5, "count")
        assert ours.plan.augment == "auto"
    # The same bytes: what is sent depends on these alone.
    assert (paper.plan.statistics, paper.plan.encoding) == (best.plan.statistics, best.plan.encoding)
    assert (paper.local.reuse, paper.rivals.dense.epochs, cpu.rivals.dense.epochs) == (False, 200, 30)


def test_table_2_is_crossed_whole_and_begins_with_what_the_paper_has() -> None:
    cells = cells_of("table2", "cpu")
    first = list(cells)[:4]
    assert first == [f"{name}-ipc50-dirichlet-reserved-0.1-collabdm-pae" for name in DATASETS]
    for dataset in DATASETS:
        of_it = {name for name in cells if name.startswith(dataset)}
        # Pooled: three methods at two sizes and all data; else four of a round and three of sets, at two sizes and
        # under two partitions, and four of models, which under a pure Dirichlet split do not depend on the size.
        assert len(of_it) == 3 * 2 + 1 + 3 * (7 * 2 * 2 + 4 * (2 + 1))
    assert {config_of(cell, SCALES["cpu"]).method for cell in cells.values()} == set(METHODS)


@pytest.mark.parametrize(
    ("method", "dataset", "beta", "paper"),
    [
        ("collabdm-pae", "cifar10", 0.1, 63.91),
        ("collabdm-pae", "fashion_mnist", 0.1, 86.19),
        ("collabdm-pae", "mnist", 0.1, 97.78),
        ("collabdm", "svhn", 0.5, 75.57),
        ("dense", "svhn", 0.1, 55.34),
        ("fedd3", "mnist", 0.1, 86.70),
        ("dosfl", "fashion_mnist", 0.3, 72.01),
        ("local-dm", "cifar10", 0.3, 52.17),
        ("random-real", "cifar10", 0.1, None),
        ("collabdm", "cifar10", 0.2, None),
    ],
)
def test_the_papers_figures_stand_in_their_columns(method: str, dataset: str, beta: float, paper: float | None) -> None:
    assert paper_figure(method, dataset, beta) == paper


def test_the_papers_figures_are_beside_the_cells_of_its_setting_alone() -> None:
    cells = cells_of("table2", "paper").values()
    with_paper = [cell for cell in cells if cell.paper is not None]
    # Six methods, four data sets, three skews; under both partitions, and the other one says so.
    assert len(with_paper) == 2 * 6 * 4 * 3
    assert all(cell.options["ipc"] == 50 for cell in with_paper)
    for cell in with_paper:
        assert ("dirichlet-reserved" in cell.note) == (cell.options["partition.kind"] == "dirichlet")


def test_figure_2_has_curves_the_papers_anchors_and_a_line_without_clients() -> None:
    cells = cells_of("figure2", "paper")
    shown = {name: (cell.paper, cell.anchors) for name, cell in cells.items() if cell.paper_source}
    assert shown == {
        "ipc10-clients5-collabdm-pae": (59.0, ((4.3, 57.0),)),
        "ipc10-clients20-collabdm-pae": (53.0, ()),
        "ipc50-clients5-collabdm-pae": (None, ((3.27, 65.0),)),
    }
    for name, cell in cells.items():
        config = config_of(cell, SCALES["best"])
        assert (config.partition.kind, config.server.passes, config.plan.seeds) == ("iid", 1, 200)
        assert config.server.evaluate_every == (0 if "central" in name else 50)
    assert {"ipc10-central-dm-pae", "ipc50-central-dm-pae"} <= set(cells)


def test_fedd3_sends_six_hundred_images_of_the_same_clients() -> None:
    cells = cells_of("communication", "paper")
    ours, theirs = (config_of(cells[f"cifar10-0.1-{m}"], SCALES["paper"]) for m in ("collabdm-pae", "fedd3"))
    assert ours.partition == theirs.partition
    assert ours.partition.reserve == 50
    assert (theirs.ipc // 5 + 1) * 10 == 600


def test_an_ablation_changes_one_factor_and_leaves_the_judge_alone() -> None:
    for scale in ("paper", "cpu", "cpu-best"):
        cells = cells_of("ablation", scale)
        base = config_of(cells["base"], SCALES[scale]).model_dump()
        factors = {name.partition("-")[0] for name in cells}
        wanted = "base step passes weighting batch seeds tiles reuse init flip width depth"
        assert factors == set(wanted.split())
        for name, cell in cells.items():
            other = config_of(cell, SCALES[scale]).model_dump()
            changed = {
                key
                for section in ("plan", "server", "local")
                for key in base[section]
                if base[section][key] != other[section][key]
            }
            changed |= {"method"} if base["method"] != other["method"] else set()
            assert len(changed) == (name != "base"), name
            assert other["evaluate"] == base["evaluate"]


def test_the_strawman_is_beside_fewer_seeds_with_the_settings_of_its_page() -> None:
    cells = cells_of("strawman", "cpu-best")
    given = ["partition.kind=dirichlet", "local.iterations=200", "evaluate.count=2"]
    page = ["ipc=10", "plan.min_held=1", "plan.batch=128", *given]
    for name, cell in cells.items():
        method, _, seeds = name.rpartition("-") if name.startswith("collabdm") else (name, "", "50")
        options = {"dataset": "fashion_mnist", "method": method, "plan.seeds": int(seeds)}
        assert config_of(cell, SCALES["cpu-best"], given) == load_config(settings=page, options=options)
    assert set(cells) == {
        *("collabdm-50", "strawman-gradient", "strawman-meta", "local-dm", "collabdm-5", "collabdm-20")
    }


def test_reuse_is_crossed_with_passes_over_the_seeds_with_the_settings_of_its_page() -> None:
    cells = cells_of("local-reuse", "cpu-best")
    given = ["partition.kind=dirichlet", "evaluate.count=5"]
    page = ["dataset=digits", "ipc=2", "plan.min_held=1", "plan.seeds=60", "plan.batch=128", *given]
    for passes in (1, 2, 5):
        for method in ("local-dm-pae", "collabdm-pae"):
            for stage in ("reuse", "fresh"):
                cell = cells.pop(f"{passes}-{stage}-{method}")
                options = {"method": method, "local.iterations": 60 * passes, "local.reuse": stage == "reuse"}
                assert config_of(cell, SCALES["cpu-best"], given) == load_config(settings=page, options=options)
    assert not cells


def test_robustness_goes_from_even_to_one_class_per_client() -> None:
    cells = cells_of("robustness", "cpu")
    betas = {c.options["partition.beta"] for c in cells.values() if "partition.beta" in c.options}
    assert betas == {0.01, 0.03, 0.1, 0.3, 1.0, 10.0}
    kinds = {c.options["partition.kind"] for c in cells.values()}
    assert kinds == {"dirichlet", "dirichlet-reserved", "iid", "by-column"}


@pytest.mark.parametrize(
    ("experiment", "setting"),
    [
        ("table2", "partition.kind=iid"),  # the pooled cells do not set it, and do not use it
        ("table2", "partition=iid"),
        ("table2", "ipc = 3"),
        ("figure2", 'partition={kind="dirichlet"}'),
        ("figure2", "partition.clients=3"),
        ("cross-architecture", "plan.network.width=32"),
        ("strawman", "plan.seeds=7"),
        ("local-reuse", "local.iterations=7"),
        ("ablation", "plan.batch=7"),
        ("ablation", "plan={batch=7}"),
        ("ablation", 'plan.network={name="convnet", width=7}'),
    ],
)
def test_a_factor_of_the_grid_cannot_be_set(experiment: str, setting: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--set: got .*; expected no factor of the experiment's grid; fix: .*--only$"
    ):
        check_settings(list(cells_of(experiment, "cpu").values()), [setting])


@pytest.mark.parametrize(
    ("experiment", "setting"),
    [
        ("table2", "partition={clients=10}"),
        ("table2", "plan.batch=100"),
        ("table2", "plan.network={name='convnet', width=32}"),
        ("cross-architecture", "partition.kind=iid"),
        ("figure2", "plan.batch=100"),
        ("strawman", "rivals.strawman_meta.rounds=7"),
        ("local-reuse", "evaluate.count=5"),
        ("ablation", "local.iterations=5"),
        ("ablation", "server.lr=5"),
    ],
)
def test_any_other_setting_can(experiment: str, setting: str) -> None:
    cells = list(cells_of(experiment, "cpu").values())
    check_settings(cells, [setting])
    assert all(config_of(cell, SCALES["cpu"], [setting]) != config_of(cell, SCALES["cpu"]) for cell in cells)


def test_unknown_names_are_told() -> None:
    with pytest.raises(ConfigError, match="expected one of table2"):
        experiment_named("table9")
    with pytest.raises(ConfigError, match="expected one of paper"):
        scale_named("huge")


def test_smoke_keeps_few_cells() -> None:
    def count(scale: Scale) -> int:
        return sum(len(one.cells(scale)) for one in EXPERIMENTS.values())

    assert count(SCALES["smoke"]) < count(SCALES["paper"]) / 5


def test_the_teachers_terms_are_held_against_the_same_sites_and_the_same_means() -> None:
    for dataset, ipc in (("cifar10", 10), ("cifar10", 50), ("mnist", 50)):
        cells = {name: cell for name, cell in cells_of("teacher", "cpu-best").items() if f"{dataset}-{ipc}-" in name}
        configs = {name.rpartition("-")[2]: config_of(cell, SCALES["cpu-best"]) for name, cell in cells.items()}
        for term, config in configs.items():
            # What is tested beside the network has more features than what only guides.
            left = {"statistics", "features"} if term == "together" else {"statistics"}
            free: dict[str, Any] = {"server": True, "evaluate": True, "plan": left}
            assert config.model_dump(exclude=free) == configs["none"].model_dump(exclude=free)
        assert configs["none"].plan.statistics == "mean"
        assert configs["entropy"].plan.statistics == ("mean", "gram")
        assert configs["entropy"].evaluate.networks == configs["none"].evaluate.networks


def test_tables_are_made_small_in_every_way_and_judged_alike() -> None:
    cells = cells_of("tables", "cpu-best")
    # Of two data sets: at three sizes three pooled methods, and under two skews four of a round and three models; and
    # all rows once.
    assert len(cells) == 2 * (3 * 3 + 2 * (3 * 4 + 3) + 1)
    configs = {name: config_of(cell, SCALES["cpu-best"]) for name, cell in cells.items()}
    assert {config.modality for config in configs.values()} == {"tables"}
    assert {tuple(one.name for one in config.evaluate.networks or ()) for config in configs.values()} == {
        ("mlp", "knn", "logistic", "forest", "boosting")
    }
    ours = configs["letter-0.1-ipc10-collabdm"]
    assert (ours.data.label, ours.local.method, ours.server.lr, ours.server.step) == ("lettr", "kmeans", 0.1, "joint")
    assert configs["pendigits-0.5-ipc50-local-dm"].local.method == "dm"
    assert {"letter-ipc10-central-kmeans", "pendigits-0.5-fedavg", "letter-full-data"} <= set(cells)
    # The recipe of images that the other presets have is none for tables.
    assert config_of(cells["letter-0.1-ipc10-collabdm"], SCALES["paper"]).server == ours.server


def test_a_stand_in_is_read_as_its_own_file_says() -> None:
    cell = cells_of("tables", "smoke")["letter-0.1-ipc10-collabdm"]
    assert config_of(cell, SCALES["smoke"]).reading == {"label": "lettr"}
    assert config_of(cell, SCALES["smoke"], dataset="wine").reading == {}


def test_the_table_of_tables_has_a_column_for_each_judge_and_one_for_models() -> None:
    def record(method: str, networks: Mapping[str, float], **more: object) -> dict[str, object]:
        tested = [{"network": name, "accuracy": value} for name, value in networks.items()]
        return {
            "cell": method,
            "dataset": "letter",
            "rank": 0,
            "note": "",
            "config": {"method": method, "ipc": 10, "partition": {"beta": 0.1}},
            "accuracy": {"networks": tested},
            "bytes": {"up": {"a": 1_000_000, "b": 2_000_000}},
        } | more

    judged = {"mlp": 0.5, "knn": 0.61, "logistic": 0.7, "forest": 0.8, "boosting": 0.9}
    records = [
        record("fedavg", {"mlp": 0.33}),
        record("collabdm", judged),
        record("random-real", judged, bytes={"up": {}}),
        record("full-data", {}, failed="no rows"),
    ]
    lines = EXPERIMENTS["tables"].table(records).splitlines()[2:]
    assert lines == [
        "| letter | 0.1 | 10 | collabdm | 50.0 | 61.0 | 70.0 | 80.0 | 90.0 |  | 2.00 |  |",
        "| letter | 0.1 |  | fedavg |  |  |  |  |  | 33.0 | 2.00 |  |",
        "| letter | pooled | 10 | random-real | 50.0 | 61.0 | 70.0 | 80.0 | 90.0 |  | 0.00 |  |",
        "| letter | pooled | all | full-data |  |  |  |  |  |  |  | no rows |",
    ]
