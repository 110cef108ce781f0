"""The report of an experiment: ours beside the paper's, what is left, what failed."""

import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from collabdm.errors import RunFolderError
from collabdm.experiments import scale_named
from collabdm.experiments.base import config_of
from collabdm.experiments.figure2 import FIGURE2
from collabdm.report import experiment_report
from pages import Page
from report_samples import cell, write_run

TABLE: list[dict[str, Any]] = [
    cell("a", rank=2, accuracy=0.6, paper=58.5, method="collabdm"),
    cell("b", rank=1, accuracy=0.5, paper=55.25, method="collabdm", **{"partition.beta": 0.5}),
    cell("c", rank=3, accuracy=0.7, paper=None, method="central-dm", dataset="/data/cifar10") | {"bytes": {}},
    {"cell": "d", "rank": 9, "failed": "clients: got 0; expected 1; fix: add <one>"},
]


def told(page: Page) -> str:
    return " ".join(page.text.replace("\u00a0", " ").split())


def test_ours_beside_the_papers() -> None:
    page = Page(experiment_report("table2", "All methods.", TABLE, 7))
    page.assert_harmless()
    assert page.headings[:3] == ["table2", "digits", "cifar10"]
    assert page.headings[-3:] == ["Cells that failed", "Every cell", "How to reproduce it"]
    text = told(page)
    assert "preset smoke" in text
    assert "3 7 left, 1 of them failed" in text
    # Row by row below; on top only how many reach it, 50 being 5.25 points below with a deviation of 1.4.
    assert "Results with a figure in the paper: 1 of 2 reach it" in text
    assert "60.0 ± 1.4 % 58.50 % +1.5 800 kB" in text
    assert "50.0 ± 1.4 % 55.25 % \u22125.2 800 kB" in text
    assert "clients: got 0; expected 1; fix: add <one>" in text
    # By rank, and with the setting that tells them apart.
    assert text.index("50.0 ± 1.4 %") < text.index("60.0 ± 1.4 %")
    assert "Method kind clients beta" not in text
    assert "Method skew (beta)" in text


def test_an_experiment_that_asks_for_something_else_begins_with_its_own_table() -> None:
    cells = [cell("a", method="collabdm") | {"factors": {"attack": one}} for one in ("naive", "none")]
    table = "| attack | success, % |\n| --- | --- |\n| <naive> | 12.5 |\n| none | 0.3 |"
    page = Page(experiment_report("backdoor", "", cells, 0, measured=table))
    page.assert_harmless()
    assert page.headings[1] == "What was measured"
    text = told(page)
    assert "attack success, % <naive> 12.5 none 0.3" in text
    # Whose network is most accurate is no answer to it, and cells are told apart by what makes them.
    assert "In short" not in text
    assert "Method attack" in text
    assert "In short" in told(Page(experiment_report("table2", "", cells, 0)))


@pytest.mark.parametrize("varying", [0, 6])
def test_what_judged_is_shown_however_much_varies(varying: int) -> None:
    keys = ("ipc", "plan.seeds", "plan.batch", "local.iterations", "server.passes", "partition.beta")[:varying]
    cells = [
        cell("one", method="collabdm", **{"evaluate.protocol": "fast"}, **dict.fromkeys(keys, 1)),
        cell("two", method="collabdm", **{"evaluate.protocol": "strong"}, **dict.fromkeys(keys, 2)),
    ]
    text = told(Page(experiment_report("mine", "", cells, 0)))
    names = ("one", "two") if varying else ("collabdm", "collabdm")
    assert f"{'Cell' if varying else 'Method'} judged by" in text
    assert f"{names[0]} fast" in text
    assert f"{names[1]} strong" in text


def test_curves_with_the_papers_figure_and_the_central_line() -> None:
    central = cell("central", accuracy=0.7, paper=None, method="central-dm") | {"bytes": {}, "curve": []}
    page = Page(experiment_report("figure2", "", [TABLE[0], central], 0))
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert any("collabdm reaches 60.0\u00a0% at 800\u00a0kB" in label for label in labels)
    looks = [value.split()[0] for tag, name, value in page.attributes if (tag, name) == ("path", "class")]
    # Each once in the legend, once in the plot; a hollow dot is two. Two more lines are the cell's own, unfolded.
    assert [looks.count(look) for look in ("line", "dashed", "hollow", "hole")] == [4, 2, 2, 2]


def test_figure_2_whole_is_a_chart_for_each_size_and_number_of_clients() -> None:
    cells = []
    for shape in FIGURE2.cells(scale_named("paper")):
        one = cell(shape.name, rank=shape.rank, accuracy=0.6, paper=shape.paper)
        config = config_of(shape, scale_named("paper"))
        one |= {"config": config.model_dump(mode="json", exclude_none=True), "dataset": "cifar10"}
        cells.append(one | ({"bytes": {}, "curve": []} if "central" in shape.name else {}))
    page = experiment_report("figure2", "", cells, 0)
    shown = page.split(b"<h2>Accuracy against bytes</h2>")[1].split(b"<h2")[0].decode()
    assert re.findall("<h3>(.*?)</h3>", shown) == [f"ipc {i}, {k} clients" for i in (10, 50) for k in (5, 20)]
    for chart in shown.split("<h3>")[1:]:
        legend = re.findall("</svg>(.*?)</li>", chart)
        assert legend[:3] == ["collabdm-pae", "collabdm", "central-dm-pae (no bytes)"]
        # In the legend: no colour twice, and the paper's is nobody else's.
        colours = re.findall(r'<path class="(?:line|dashed|hollow) (k\d)"', chart.split("</ul>")[0])
        assert len(set(colours)) == len(colours) == len(legend)
    assert "evaluate_every" not in told(Page(page)).split("Every cell")[0]


def test_the_papers_points_on_the_way_and_what_stands_in() -> None:
    one = TABLE[0] | {"anchors": [[0.3, 57.0], [0.6, 58.0]], "dataset": "cifar10", "stand_in": "digits"}
    page = Page(experiment_report("figure2", "", [one], 0))
    assert "cifar10, digits standing in" in page.headings
    pairs = itertools.pairwise(page.attributes)
    places = [d for (_, _, look), (_, name, d) in pairs if look.startswith(("hollow", "hole")) and name == "d"]
    # In the legend, and at the three points.
    assert [place.count("h0") for place in places] == [1, 1, 3, 3]


def test_one_factor_at_a_time_goes_by_the_cells_names() -> None:
    varied = {
        "ipc": 3,
        "plan.seeds": 4,
        "plan.batch": 9,
        "local.iterations": 4,
        "server.passes": 2,
        "partition.beta": 0.3,
    }
    cells = [cell(f"{key} {value}", rank=i, **{key: value}) for i, (key, value) in enumerate(varied.items())]
    text = told(Page(experiment_report("ablation", "", cells, 0)))
    assert "Cell accuracy as a bar" in text
    assert "server.passes 2" in text


def test_several_architectures_are_a_table() -> None:
    one = cell("a")
    one["accuracy"]["by_network"] = {"convnet": {"mean": 0.61, "std": 0.0}, "vgg11": {"mean": 0.42, "std": 0.0}}
    page = Page(experiment_report("cross-architecture", "", [one], 0))
    assert "Tested as other networks" in page.headings
    assert "convnet vgg11 a 61 42" in told(page)


def test_every_cell_says_how_to_run_it_again() -> None:
    text = told(Page(experiment_report("table2", "", [cell("a b")], 0)))
    assert "collabdm experiment run table2 --preset smoke --only 'a b' --out runs/table2-smoke" in text
    assert "collabdm experiment run table2 --preset smoke --out runs/table2-smoke" in text


def test_a_cell_unfolds_to_all_that_a_runs_page_tells(tmp_path: Path) -> None:
    page = Page(experiment_report("table2", "", [cell("a")], 0, folder=tmp_path))
    page.assert_harmless()
    text = told(page)
    for part in (
        "Accuracy of each class",
        "Most often cat for dog (38 %)",
        "Percent of each class (row)",
        "Samples of each class that every client held",
        "means 600 kB, images 100 kB",
        "Server: refinement 1 min 5 s 512 MB",
        "3 pairs of seed and class",
        "rivals.fedd3.",
        "server.passes = 1",
    ):
        assert part in text, part
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert any(label.startswith("Accuracy goes from 50.0\u00a0% at 300\u00a0kB to 60.0") for label in labels)
    # Neither images nor losses are in a record.
    assert "img" not in page.tags
    assert not any("The loss goes" in label for label in labels)


def test_images_and_losses_come_from_the_cells_own_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a")
    outside = write_run(tmp_path / "outside")
    cells = [cell("a"), cell("b", rank=1), cell(f"../{outside.name}", rank=2)]
    page = Page(experiment_report("table2", "", cells, 0, folder=tmp_path))
    page.assert_harmless()
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert labels.count("cat, before refinement: 2 images") == labels.count("cat, distilled: 2 images") == 1
    assert labels.count("The loss goes from 9 to 2.25 in 6 steps.") == 1


def test_real_examples_stand_beside_unless_they_may_not(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a")
    shutil.copy(run / "initial" / "distilled.safetensors", run / "real.safetensors")
    for real in (True, False):
        page = Page(experiment_report("table2", "", [cell("a")], 0, folder=tmp_path, real=real))
        labels = [value for _, name, value in page.attributes if name == "aria-label"]
        assert ("cat, real: 2 images" in labels) == real
        assert ("make it anew with --no-real" in told(page)) == real


def test_of_a_large_grid_the_first_cells_are_told_in_full(tmp_path: Path) -> None:
    cells = [cell(f"a{i}", rank=i) for i in range(80)]
    for one in cells:
        write_run(tmp_path / "runs" / one["cell"])
    page = experiment_report("table2", "", cells, 0, folder=tmp_path)
    text = told(Page(page))
    assert "The first 30 are told in full" in text
    assert text.count("Most often cat for dog") == 30
    assert text.count("collabdm experiment run table2 --preset smoke --only a") == 80
    labels = [value for _, name, value in Page(page).attributes if name == "aria-label"]
    assert labels.count("dog, distilled: 2 images") == 30
    assert len(page) < 1_500_000


def test_settings_over_the_preset_are_told_and_repeated() -> None:
    text = told(Page(experiment_report("table2", "", [cell("a")], 0, settings=["repeats=1", "plan.augment=a, b"])))
    assert "Settings over the preset: repeats=1, plan.augment=a, b." in text
    given = "--preset smoke --set repeats=1 --set 'plan.augment=a, b'"
    assert f"collabdm experiment run table2 {given} --out runs/table2-smoke" in text
    assert f"collabdm experiment run table2 {given} --only a --out runs/table2-smoke" in text


def test_what_every_cell_has_is_told_once() -> None:
    text = told(Page(experiment_report("x", "", [cell("a", ipc=10), cell("b", ipc=10, **{"plan.seeds": 7})], 0)))
    assert re.search(
        r"Every cell has ipc = 10, partition.clients = \d+, plan.batch = \d+, local.iterations = \d+", text
    )
    assert "Results with a figure in the paper: 1 of 1 reach it" in told(
        Page(experiment_report("x", "", [cell("a")], 0))
    )


def test_agreement_is_drawn_from_three_cells() -> None:
    three = [cell(str(i), rank=i, accuracy=0.5 + 0.1 * i, paper=58.0, **{"seed": i}) for i in range(3)]
    assert "2 of 3 cells reach the paper's accuracy." in told(Page(experiment_report("x", "", three, 0)))


def test_without_any_figure_of_the_paper_its_columns_are_left_out() -> None:
    text = told(Page(experiment_report("table2", "", [cell("a", paper=None)], 0)))
    assert "Paper" not in text
    assert "Difference" not in text
    assert "Partition: dirichlet 0.1. Tested as convnet width=8." in text


def test_no_cells_yet() -> None:
    page = Page(experiment_report("table2", "All methods.", [], 12))
    page.assert_harmless()
    assert page.headings == ["table2"]
    assert "12 left" in told(page)


def test_names_from_outside_stay_text() -> None:
    attack = "</style><script>alert(1)</script>"
    one = cell(attack) | {"note": attack, "paper_source": attack, "commit": attack, "networks": [attack]}
    one["config"]["method"] = attack
    one["accuracy"]["per_class"] = {attack: 0.5}
    page = Page(experiment_report(attack, attack, [one, {"cell": attack, "failed": attack}], 0))
    page.assert_harmless()
    assert page.text.count(attack) >= 8


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"cell": 3},
        {"cell": "a", "paper": "high"},
        {"cell": "a", "accuracy": []},
        {"cell": "a", "partition": {"kind": "iid", "samples": [[10**30]]}},
        {"cell": "a", "bytes": {"up": {"x": 1e308, "y": 1e308}}},
        {"cell": "a", "seconds": {"client": {"x": 1e308}}},
        {
            "cell": "a",
            "accuracy": {"mean": 0.5, "networks": [{"network": "n", "accuracy": 1, "confusion": [[10**400]]}]},
        },
    ],
)
def test_a_damaged_cell_is_told(broken: dict[str, Any]) -> None:
    with pytest.raises(RunFolderError, match=r"^cell .*: got .*; expected .*; fix: "):
        experiment_report("x", "", [broken], 0)
