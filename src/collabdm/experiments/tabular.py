"""Tables: sets of a few rows a class, by every way to make few rows of many, judged by five kinds of classifiers.

The paper has no tables, so whatever the preset, rounds have the settings that suit them; presets decide on seeds,
batches and judges. Models (`fedavg`, `ensemble`, `analytic`) are tested as they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from collabdm.baselines import rival_named
from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import LARGEST, markdown, megabytes_up
from collabdm.methods import method_named
from collabdm.tables.modality import Tables

__all__ = ["TABLES"]

# The column of labels, by data set, as UCI calls it.
LABELS = {"letter": "lettr", "pendigits": "digit"}
BETAS = (0.1, 0.5)
SIZES = (10, 1, 50)
JUDGES = ("mlp", "knn", "logistic", "forest", "boosting")
METHODS = (
    *("collabdm", "central-kmeans", "k-fed", "fed-kmeans", "random-real", "central-herding", "local-dm"),
    *("analytic", "fedavg", "ensemble", "full-data"),
)
_POOLED = ("random-real", "full-data")
_ROUND: dict[str, Any] = {
    "modality": "tables",
    "plan.network": "random-features",
    "plan.augment": "auto",
    "server.step": "joint",
    "server.passes": 5,
    "server.lr": Tables.rate,
    "server.schedule": "cosine",
    "server.reach": 0.05,
    "server.weighting": "count",
    "rivals.training.network": "mlp",
    "evaluate.networks": JUDGES,
}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    found: dict[str, dict[str, Any]] = {}
    for beta in BETAS if scale.whole else BETAS[:1]:
        for ipc in SIZES if scale.whole else SIZES[:1]:
            for dataset in LABELS:
                for method in METHODS:
                    found.setdefault(_name(dataset, beta, ipc, method), _options(dataset, beta, ipc, method, scale))
    return tuple(Cell(name=name, options=options, rank=rank) for rank, (name, options) in enumerate(found.items()))


def _options(dataset: str, beta: float, ipc: int, method: str, scale: Scale) -> dict[str, Any]:
    options = {"dataset": dataset, "data.label": LABELS[dataset], "method": method, **_ROUND}
    # What is without effect is the same for all cells, so that a cell is there once.
    options["ipc"] = scale.reduced(ipc if _sized(method) else SIZES[0])
    options["local.method"] = Tables.local if method == "collabdm" else "dm"
    if not _pooled(method):
        options |= {"partition.kind": "dirichlet", "partition.beta": beta}
    return options


def _name(dataset: str, beta: float, ipc: int, method: str) -> str:
    """What makes no difference is not in the name."""
    parts = [dataset, *([] if _pooled(method) else [str(beta)]), *([f"ipc{ipc}"] if _sized(method) else []), method]
    return "-".join(parts)


def _pooled(method: str) -> bool:
    return method in _POOLED or method_named(method).central


def _sized(method: str) -> bool:
    model = method_named(method).source == "rival" and rival_named(method).product == "model"
    return method != "full-data" and not model


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line a cell, by data set, skew and size; a column for each judge."""
    header = ("data set", "beta", "rows a class", "method", *JUDGES, "the model itself", LARGEST, "note")
    return markdown(header, [list(_line(record)) for record in sorted(records, key=_place)])


def _place(record: Mapping[str, Any]) -> tuple[str, bool, float, int, int]:
    config = record["config"]
    method, beta = config["method"], config["partition"]["beta"]
    pooled, size = _pooled(method), config["ipc"] if _sized(method) else 10**6
    return record["dataset"], pooled, 0.0 if pooled else beta, size, METHODS.index(method)


def _line(record: Mapping[str, Any]) -> Iterator[str]:
    config = record["config"]
    method = config["method"]
    yield record["dataset"]
    yield "pooled" if _pooled(method) else f"{config['partition']['beta']:g}"
    yield str(config["ipc"]) if _sized(method) else "all" if method == "full-data" else ""
    yield method
    tested = () if "failed" in record else record["accuracy"]["networks"]
    model = method != "full-data" and not _sized(method)
    for judge in JUDGES:
        yield "" if model else _mean(one["accuracy"] for one in tested if one["network"] == judge)
    yield _mean(one["accuracy"] for one in tested) if model else ""
    yield "" if "failed" in record else f"{megabytes_up(record):.2f}"
    yield record.get("failed", record["note"])


def _mean(accuracies: Iterator[float]) -> str:
    found = list(accuracies)
    return f"{100 * fmean(found):.1f}" if found else ""


TABLES = Experiment(
    name="tables",
    summary="Our own: tables of 1, 10 and 50 rows a class by eleven methods, judged by five kinds of classifiers",
    cells=_cells,
    table=_table,
)
