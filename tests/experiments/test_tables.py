"""Records as Markdown."""

from typing import Any

from collabdm.experiments.ablation import ABLATION
from collabdm.experiments.local_reuse import LOCAL_REUSE
from collabdm.experiments.robustness import ROBUSTNESS
from collabdm.experiments.strawman import STRAWMAN
from collabdm.experiments.table2 import TABLE2
from collabdm.experiments.tables import accuracy_by_network, markdown, recipes_line, results_table
from collabdm.training.recipes import RECIPES


def record(cell: str, mean: float, rank: int = 0, **changes: Any) -> dict[str, Any]:
    method, kind = changes.pop("method", "collabdm-pae"), changes.pop("kind", "dirichlet-reserved")
    networks = [{"network": name, "accuracy": mean, "macro_f1": mean / 2} for name in ("convnet", "alexnet")]
    return {
        "cell": cell,
        "rank": rank,
        "dataset": "mnist",
        "paper": None,
        "note": "",
        "config": {"method": method, "ipc": 50, "partition": {"kind": kind, "beta": 0.1}},
        "accuracy": {"mean": mean, "std": 0.01, "networks": networks},
        "bytes": {"up": {"a": 1_000_000, "b": 8_450_000}},
    } | changes


def failed(cell: str, **changes: Any) -> dict[str, Any]:
    made = record(cell, 0.0, **changes) | {"failed": "data set svhn: got a|b"}
    return {name: value for name, value in made.items() if name not in ("accuracy", "bytes")}


def test_ours_beside_the_papers() -> None:
    lines = results_table([record("b", 0.6, 1), record("a", 0.654, paper=63.91, note="x"), failed("c")]).splitlines()
    assert lines[2] == "| a | 65.4 ± 1.0 | 2 | 63.91 | +1.5 | 8.45 | x |"
    assert lines[3] == "| c | failed |  |  |  |  | data set svhn: got a\\|b |"
    assert lines[4] == "| b | 60.0 ± 1.0 | 2 |  |  | 8.45 |  |"


def test_recipes_are_told_and_never_mixed_in_silence() -> None:
    fast, strong = {"name": "fast", "epochs": 200}, RECIPES["strong"].model_dump()
    alike = [record("a", 0.5, protocol=fast), failed("b"), record("model", 0.6), record("c", 0.7, protocol=fast)]
    assert recipes_line(alike) == "Sets are judged by the protocol fast."
    shorter = record("e", 0.6, protocol=fast | {"epochs": 20})
    mixed = recipes_line([*alike, record("d", 0.8, protocol=strong), shorter])
    assert mixed.startswith("Judged by different protocols, so compare within one only.")
    assert mixed.endswith("fast: a, c; strong: d; fast, 20 epochs: e.")
    assert recipes_line([failed("b"), record("model", 0.6)]) == ""


def test_a_single_network_has_no_deviation() -> None:
    networks = [{"network": "convnet", "accuracy": 0.5, "macro_f1": 0.4}]
    one = record("base", 0.5, accuracy={"mean": 0.5, "std": 0.0, "networks": networks})
    assert results_table([one]).splitlines()[2].startswith("| base | 50.0 | 1 |")
    assert ABLATION.table([one]).splitlines()[2].startswith("| base | 50.0 |  |")


def test_a_cell_cannot_break_a_table() -> None:
    assert markdown(("h",), [["two\nlines | here"]]).splitlines()[-1] == "| two lines \\| here |"
    assert markdown(("h",), [["\x1b[31mred\x07"]]).splitlines()[-1] == "| ?[31mred? |"


def test_table_2_by_method_and_data() -> None:
    text = TABLE2.table([record("one", 0.98, paper=97.78), failed("two", rank=1, dataset="svhn")])
    assert "**dirichlet-reserved, 50 images per class**" in text
    assert "| method | mnist 0.1 | svhn 0.1 |" in text
    assert "| collabdm-pae | 98.0 (97.78) | failed |" in text
    assert "| two | data set svhn: got a\\|b |" in text
    pooled = TABLE2.table([record("one", 0.9, method="random-real")])
    assert "**pooled, 50 images per class**" in pooled
    assert "| random-real | 90.0 |" in pooled


def test_an_ablation_is_told_against_its_base() -> None:
    rows = ABLATION.table([record("step-joint", 0.52, 1), record("base", 0.5)]).splitlines()[2:]
    assert rows[0].startswith("| base | 50.0 ± 1.0 |  |")
    assert rows[1].startswith("| step-joint | 52.0 ± 1.0 | +2.0 |")
    assert "|  |" in ABLATION.table([record("step-joint", 0.52, 1)])


def test_robustness_is_ordered_by_skew() -> None:
    found = [record("i", 0.5, kind="iid"), record("d", 0.4), record("o", 0.3, kind="by-column")]
    rows = ROBUSTNESS.table(found).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| one class per client", "| dirichlet-reserved 0.1", "| iid"]


def test_strawmen_are_told_at_every_set_on_the_way_by_bytes() -> None:
    sent = {"down": {"a": 1_000_000, "b": 1_000_000}, "up": {"a": 1_000_000, "b": 2_000_000}}
    point = {"mean": 0.5, "std": 0.02, "networks": [{}, {}], "rounds": 8, "bytes_down": 5e5, "bytes_up": 25e4}
    steps = {"mean": 0.4, "std": 0.0, "networks": [{}], "steps": 50, "bytes_up": 1.0}
    many = record("strawman-meta", 0.6, bytes=sent, rounds=41, curve=[steps, point], note="x")
    one = record("collabdm-5", 0.7, bytes={"down": {}, "up": {"a": 150_000}}, rounds=1)
    assert STRAWMAN.table([failed("local-dm"), many, one]).splitlines()[2:] == [
        "| collabdm-5 | 1 | 0.15 | 70.0 ± 1.0 |  |",
        "| strawman-meta | 8 | 0.75 | 50.0 ± 2.0 |  |",
        "| strawman-meta | 41 | 2.50 | 60.0 ± 1.0 | x |",
        "| local-dm |  |  | failed | data set svhn: got a\\|b |",
    ]


def test_reuse_is_told_by_passes() -> None:
    names = ("5-fresh-collabdm-pae", "5-reuse-local-dm-pae", "1-reuse-local-dm-pae")
    found = [record(name, 0.8 + 0.01 * number) for number, name in enumerate(names)]
    assert LOCAL_REUSE.table([*found, failed("1-fresh-collabdm-pae")]).splitlines() == [
        "| passes of the local stage | local-dm-pae, reuse | collabdm-pae, fresh |",
        "| --- | --- | --- |",
        "| 1 | 82.0 ± 1.0 | failed |",
        "| 5 | 81.0 ± 1.0 | 80.0 ± 1.0 |",
    ]


def test_networks_are_columns() -> None:
    large = record("c", 0.5, rank=2, bytes={"up": {"a": 9_100_000}})
    cells = [record("a", 0.5), failed("b", rank=1), large]
    assert accuracy_by_network(cells, corner="on", row=lambda one: one["cell"]).splitlines() == [
        "| on | convnet | alexnet | largest contribution, MB | note |",
        "| --- | --- | --- | --- | --- |",
        "| a | 50.0 (25.0) | 50.0 (25.0) | 8.4 |  |",
        "| b |  |  |  | data set svhn: got a\\|b |",
        "| c | 50.0 (25.0) | 50.0 (25.0) | 9.1 (over 9) |  |",
    ]
