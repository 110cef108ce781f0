"""Methods by samples per class, and which result is best of those that may be held against one another."""

from typing import Any

from collabdm.report.cells import CellRow, cell_rows
from collabdm.report.experiment_brief import of_cells, of_paper
from collabdm.report.groups import groups, heads
from collabdm.report.reading import Cell, checked
from report_samples import cell

KEYS = ["ipc", "partition.beta", "local.method", "evaluate.protocol"]


def rows_of(*cells: dict[str, Any]) -> list[CellRow]:
    read = [checked(Cell, one, "cell") for one in cells]
    return cell_rows(read, KEYS, (), named=False, folder=None)


def one(method: str, ipc: int, accuracy: float, *, beta: float = 0.1, paper: float | None = None, **more: Any) -> Any:
    settings: dict[str, Any] = {"partition.beta": beta}
    name = f"{method}-{ipc}-{beta}"
    made = cell(name, accuracy=accuracy, paper=paper, method=method, ipc=ipc, **settings)
    return made | more


GRID = rows_of(
    one("collabdm", 1, 0.4),
    one("collabdm", 10, 0.6),
    one("k-fed", 1, 0.5),
    one("k-fed", 10, 0.6),
    one("collabdm", 1, 0.3, beta=0.5),
    one("collabdm", 10, 0.7, beta=0.5),
    one("random-real", 1, 0.35, partition={"kind": "pooled"}, bytes={}),
    one("fedavg", 1, 0.8, product="model"),
    one("full-data", 1, 0.9, partition={"kind": "pooled"}, bytes={}),
)


def test_methods_by_samples_per_class_with_the_best_of_each_column() -> None:
    (group,) = groups(GRID, KEYS, named=False)
    first, second = group.matrices
    assert (first.title, second.title) == ("skew (beta) 0.1", "skew (beta) 0.5")
    assert first.columns == second.columns == ("1", "10")
    told = {row.name: [(text.split("\u00a0")[0], best) for text, best in row.cells] for row in first.rows}
    assert told == {
        "collabdm": [("40.0", False), ("60.0", True)],
        # Equal as they are shown: both are best.
        "k-fed": [("50.0", True), ("60.0", True)],
        "random-real": [("35.0", False), ("", False)],
        "fedavg": [],
        "full-data": [],
    }
    # What does not depend on the partition is in both; what has no set is the same at every size.
    assert [row.name for row in second.rows] == ["collabdm", "random-real", "full-data"]
    # Of one method alone nothing is best.
    assert [[best for _, best in row.cells] for row in second.rows] == [[False, False], [True, False], []]
    assert first.rows[-1].whole.startswith("90.0")


def test_a_model_of_a_partition_that_reserves_samples_has_a_size() -> None:
    """There the clients' shares, and so their models, depend on the samples per class."""
    cells = [one("fedavg", 1, 0.4, product="model"), one("fedavg", 10, 0.5, product="model"), one("k-fed", 1, 0.3)]
    for made in cells:
        made["config"]["partition"]["kind"] = "dirichlet-reserved"
    (matrix,) = groups(rows_of(*cells), KEYS, named=False)[0].matrices
    assert [(row.name, len(row.cells), row.whole) for row in matrix.rows] == [("fedavg", 2, ""), ("k-fed", 2, "")]


def test_the_best_of_a_list_is_that_of_its_own_settings() -> None:
    (group,) = groups(GRID, KEYS, named=False)
    # Training on all data is above them all, and no method of the table.
    assert group.best == {"fedavg-1-0.1", "random-real-1-0.1"}


def test_settings_that_do_not_matter_are_not_shown() -> None:
    cells = [
        one("collabdm", 1, 0.4),
        one("k-fed", 10, 0.5),
        one("random-real", 1, 0.3, beta=0.7, partition={"kind": "pooled"}),
    ]
    for made, method in zip(cells, ("kmeans", "dm", "dm"), strict=True):
        made["config"]["local"]["method"] = method
    (group,) = groups(rows_of(*cells), KEYS, named=False)
    assert group.heads == ("per class",)
    cells.append(one("collabdm", 1, 0.4, beta=0.5))
    cells[-1]["config"]["local"]["method"] = "kmeans"
    (group,) = groups(rows_of(*cells), KEYS, named=False)
    assert group.heads == ("per class", "skew (beta)")
    assert [texts for _, texts in group.rows] == [("1", "0.1"), ("10", "0.1"), ("1", "\u2013"), ("1", "0.5")]


def test_accuracies_of_two_recipes_are_not_held_against_one_another() -> None:
    cells = [one("collabdm", 1, 0.4), one("k-fed", 1, 0.5)]
    cells[1]["config"]["evaluate"]["protocol"] = "strong"
    (group,) = groups(rows_of(*cells), KEYS, named=False)
    assert group.best == frozenset()
    assert "judged by" in group.heads


def test_one_size_or_one_method_is_no_matrix() -> None:
    for cells in ((one("dense", 1, 0.4), one("k-fed", 1, 0.5)), (one("k-fed", 1, 0.4), one("k-fed", 10, 0.5))):
        assert groups(rows_of(*cells), KEYS, named=False)[0].matrices == ()


def test_columns_of_the_same_name_go_by_their_whole_key() -> None:
    assert heads(["ipc", "local.lr", "server.lr", "plan.seeds"]) == ("per class", "local.lr", "server.lr", "seeds")


def brief_of(rows: list[CellRow]) -> str:
    return of_cells(groups(rows, KEYS, named=False)[0]).replace("\u00a0", " ")


def test_an_experiment_in_words() -> None:
    told = brief_of(GRID)
    assert told == (
        "digits: fedavg is best, right on 80 of 100 test images, 89 % of what training on all data reaches;"
        " each site sent 800 kB, once."
        " Of the sets, collabdm is best with 10 of each class, right on 70 of 100 test images,"
        " 78 % of what training on all data reaches; each site sent 800 kB, once."
    )
    judged_by_another = rows_of(one("collabdm", 1, 0.4), one("full-data", 1, 0.9, bytes={}, networks=["vgg11"]))
    assert "training on all data" not in brief_of(judged_by_another)
    one_method = rows_of(one("k-fed", 1, 0.4), one("k-fed", 1, 0.5, beta=0.5))
    assert brief_of(one_method).startswith("digits: k-fed is best with 1 of each class at skew (beta) 0.5, right on 50")


def test_how_many_reach_the_papers_figure() -> None:
    # 1.41 points is the deviation of the made-up networks.
    near = rows_of(*(one("k-fed", ipc, 0.6, paper=paper) for ipc, paper in ((1, 61.4), (5, 61.6), (10, 50.0))))
    assert of_paper(near).startswith("Results with a figure in the paper: 2 of 3 reach it")
    assert of_paper(GRID) == ""
