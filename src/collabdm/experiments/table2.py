"""The paper's Table 2: every method, four data sets, three skews; and what the table leaves out.

The paper's figures are for 50 images per class and, as its code shows, for `dirichlet-reserved`, under which no client
lacks a class. Here every row is judged by one protocol: the paper's DENSE row is a model of DENSE's own, trained as
DENSE trains it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collabdm.baselines import rival_named
from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_beside_paper, markdown, matrix
from collabdm.methods import method_named

__all__ = ["TABLE2", "paper_figure"]

DATASETS = ("cifar10", "fashion_mnist", "mnist", "svhn")
BETAS = (0.1, 0.3, 0.5)
SOURCE = "Table 2 (50 images per class)"
# In the order in which they tell most.
METHODS = (
    *("collabdm-pae", "random-real", "local-dm", "collabdm", "central-dm-pae", "local-dm-pae", "random-real-pae"),
    *("fedavg", "ensemble", "dense", "fedd3", "dosfl", "feddm", "co-boosting", "full-data"),
)
POOLED = ("random-real", "random-real-pae", "central-dm-pae", "full-data")
_PAPER = {
    "fedd3": "86.70 88.91 88.36 64.35 74.13 75.15 38.54 39.37 40.53 65.11 66.00 65.62",
    "dosfl": "77.97 83.24 91.73 64.25 72.01 80.83 43.92 47.08 56.62 67.94 69.05 69.91",
    "dense": "66.61 76.48 95.82 50.29 83.96 85.94 50.26 59.76 62.19 55.34 79.59 80.03",
    "local-dm": "96.10 96.93 97.17 84.18 84.5 84.24 52.93 52.17 54.22 70.04 70.69 71.49",
    "collabdm": "97.72 97.82 97.83 85.43 86.51 86.71 57.97 59.36 60.21 74.35 74.66 75.57",
    "collabdm-pae": "97.78 97.80 98.07 86.19 86.31 86.91 63.91 64.67 64.50 85.83 86.44 86.53",
}
_COLUMNS = [(dataset, beta) for dataset in ("mnist", "fashion_mnist", "cifar10", "svhn") for beta in BETAS]
_NOTES = {
    "dense": "the paper's figure is DENSE's own network and training; a network with batch norm here",
    "dosfl": "the paper's DOSFL is RaT-BPTT from soft resets; its length is not given",
}


def paper_figure(method: str, dataset: str, beta: float) -> float | None:
    """Accuracy in percent that Table 2 gives, if it does."""
    if method not in _PAPER or (dataset, beta) not in _COLUMNS:
        return None
    return float(_PAPER[method].split()[_COLUMNS.index((dataset, beta))])


def _cells(scale: Scale) -> tuple[Cell, ...]:
    return tuple(
        Cell(name=name, options=options, rank=rank, **described)
        for rank, (name, options, described) in enumerate(_ordered(scale))
    )


def _ordered(scale: Scale) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Block after block, the paper's own first; in a block, method after method on all data sets."""
    settings = [
        (kind, beta, ipc)
        for kind in ("dirichlet-reserved", "dirichlet")
        for ipc in (50, 10)
        for beta in (BETAS if scale.whole else BETAS[:1])
    ]
    seen = set()
    for kind, beta, ipc in sorted(settings, key=_level) if scale.whole else settings[:1]:
        for method in METHODS:
            for dataset in DATASETS:
                name = _name(method, dataset, kind, beta, ipc)
                if name in seen:
                    continue
                seen.add(name)
                options = {"dataset": dataset, "method": method, "ipc": scale.reduced(ipc)}
                if method not in POOLED:
                    options |= {"partition.kind": kind, "partition.beta": beta}
                yield name, options, _described(method, dataset, kind, beta, ipc)


def _level(setting: tuple[str, float, int]) -> tuple[float, bool, bool]:
    """The paper's setting at its greatest skew, then ten images per class, then the other skews and the partition."""
    kind, beta, ipc = setting
    return beta, kind == "dirichlet", ipc == 10


def _name(method: str, dataset: str, kind: str, beta: float, ipc: int) -> str:
    """What makes no difference is not in the name: such a cell is there once."""
    if method == "full-data":
        return f"{dataset}-{method}"
    if method in POOLED:
        return f"{dataset}-ipc{ipc}-{method}"
    if kind == "dirichlet" and method_named(method).source == "rival" and rival_named(method).product == "model":
        return f"{dataset}-{kind}-{beta}-{method}"
    return f"{dataset}-ipc{ipc}-{kind}-{beta}-{method}"


def _described(method: str, dataset: str, kind: str, beta: float, ipc: int) -> dict[str, Any]:
    if ipc != 50 or method in POOLED:
        return {}
    paper = paper_figure(method, dataset, beta)
    note = _NOTES.get(method, "") if paper is not None else ""
    if kind == "dirichlet" and paper is not None:
        note = f"the paper's figure is for dirichlet-reserved. {note}".strip()
    return {"paper": paper, "paper_source": SOURCE if paper is not None else "", "note": note}


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """One matrix for each partition and number of images per class; failures by name below."""
    blocks: dict[str, list[Mapping[str, Any]]] = {}
    for record in sorted(records, key=lambda one: one["rank"]):
        config = record["config"]
        pooled = config["method"] in POOLED
        kind = "pooled" if pooled else config["partition"]["kind"]
        blocks.setdefault(f"{kind}, {config['ipc']} images per class", []).append(record)
    parts = [
        f"**{title}** (accuracy, %; the paper's in brackets)\n\n"
        + matrix(
            found,
            corner="method",
            row=lambda one: one["config"]["method"],
            column=_column,
            shown=accuracy_beside_paper,
        )
        for title, found in blocks.items()
    ]
    failed = [[one["cell"], one["failed"]] for one in records if "failed" in one]
    return "\n\n".join([*parts, *([markdown(("failed", "why"), failed)] if failed else [])])


def _column(record: Mapping[str, Any]) -> str:
    config = record["config"]
    if config["method"] in POOLED:
        return record["dataset"]
    return f"{record['dataset']} {config['partition']['beta']:g}"


TABLE2 = Experiment(
    name="table2",
    summary="Table 2: all methods and rivals on four data sets at three skews, under both partitions",
    cells=_cells,
    table=_table,
)
