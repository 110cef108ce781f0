"""The report of an experiment: ours beside the paper's, what is left, what failed."""

from typing import Any

import pytest

from collabdm.errors import RunFolderError
from collabdm.report import experiment_report
from pages import Page
from report_samples import cell

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
    # |60 - 58.5| and |50 - 55.25|
    assert "3.4 points" in text
    assert "over 2 cells with a figure" in text
    assert "60.0 ± 1.4 % 58.50 % +1.5 800 kB" in text
    assert "50.0 ± 1.4 % 55.25 % \u22125.2 800 kB" in text
    assert "clients: got 0; expected 1; fix: add <one>" in text
    # By rank, and with the setting that tells them apart.
    assert text.index("50.0 ± 1.4 %") < text.index("60.0 ± 1.4 %")
    assert "Method kind clients beta" not in text
    assert "Method beta" in text


def test_curves_with_the_papers_figure_and_the_central_line() -> None:
    central = cell("central", accuracy=0.7, paper=None, method="central-dm") | {"bytes": {}, "curve": []}
    page = Page(experiment_report("figure2", "", [TABLE[0], central], 0))
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert any("collabdm reaches 60.0\u00a0% at 800\u00a0kB" in label for label in labels)
    looks = [value.split()[0] for tag, name, value in page.attributes if (tag, name) == ("path", "class")]
    # Each once in the legend, once in the plot; a hollow dot is two.
    assert [looks.count(look) for look in ("line", "dashed", "hollow", "hole")] == [2, 2, 2, 2]


def test_the_papers_points_on_the_way_and_what_stands_in() -> None:
    one = TABLE[0] | {"anchors": [[0.3, 57.0], [0.6, 58.0]], "dataset": "cifar10", "stand_in": "digits"}
    page = Page(experiment_report("figure2", "", [one], 0))
    assert "cifar10, digits standing in" in page.headings
    hollow = [value for tag, name, value in page.attributes if (tag, name) == ("path", "d") and value.count("h0") == 3]
    assert len(hollow) == 2


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
    assert "collabdm experiment run table2 --preset smoke --only 'a b' --out runs/table2" in text
    assert "collabdm experiment run table2 --preset smoke --out runs/table2" in text


def test_settings_over_the_preset_are_told_and_repeated() -> None:
    text = told(Page(experiment_report("table2", "", [cell("a")], 0, settings=["repeats=1", "plan.augment=a, b"])))
    assert "Settings over the preset: repeats=1, plan.augment=a, b." in text
    given = "--preset smoke --set repeats=1 --set 'plan.augment=a, b'"
    assert f"collabdm experiment run table2 {given} --out runs/table2" in text
    assert f"collabdm experiment run table2 {given} --only a --out runs/table2" in text


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


@pytest.mark.parametrize("broken", [{}, {"cell": 3}, {"cell": "a", "paper": "high"}, {"cell": "a", "accuracy": []}])
def test_a_damaged_cell_is_told(broken: dict[str, Any]) -> None:
    with pytest.raises(RunFolderError, match=r"^cell .*: got .*; expected .*; fix: "):
        experiment_report("x", "", [broken], 0)
