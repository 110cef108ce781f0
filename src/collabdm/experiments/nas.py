"""Architecture search: how well training on a set ranks networks, beside training on all data (`search`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collabdm.evaluation.markdown import markdown
from collabdm.experiments.base import Cell, Experiment, FinishedRun
from collabdm.experiments.presets import Scale
from collabdm.experiments.ranking import ahead, bootstrap
from collabdm.experiments.search import CORRELATIONS, Search, scores_of, searched
from collabdm.randomness import Stream

__all__ = ["METHODS", "NAS", "SEARCHES"]

METHODS = ("collabdm-pae", "full-data", "random-real", "central-herding")
"""What is to foretell the ranking; `full-data` is early stopping."""

# As in the literature: the whole grid, 200 epochs of 2,000 expanded images, 100 of all 50,000.
_WHOLE = Search(full=5_000_000, shown=400_000, test=10_000, lr=0.01, batch=256)
_REDUCED = Search(full=30_000, shown=6_000, test=4_000, networks=60, gigaflop=0.03)
SEARCHES: dict[str, Search] = {
    "paper": _WHOLE,
    "best": _WHOLE,
    "cpu": _REDUCED,
    "cpu-best": _REDUCED,
    "smoke": Search(full=2_400, shown=600, test=300, networks=10, gigaflop=0.004),
}
"""How the grid is searched at each scale."""

# A cell's own accuracy is not what is asked: the least that gives one.
_ASIDE: dict[str, Any] = {
    "evaluate.networks": ({"name": "convnet", "width": 32},),
    "evaluate.protocol": "fast",
    "evaluate.count": 1,
    "repeats": 1,
}
_OURS = METHODS[0]
_CALLED = {"full-data": "early stopping"}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    whole = SEARCHES.get(scale.name, _REDUCED).networks is None
    dataset, ipc = ("cifar10", 50) if whole else ("fashion_mnist", 10)
    shared: dict[str, Any] = {"dataset": dataset, "ipc": scale.reduced(ipc), "partition.beta": 0.1, **_ASIDE}
    return tuple(
        Cell(name=f"{dataset}-{method}", options={**shared, "method": method}, rank=rank)
        for rank, method in enumerate(METHODS)
    )


def _measure(run: FinishedRun) -> Mapping[str, Any]:
    return searched(run, SEARCHES.get(run.scale, _REDUCED))


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line for each cell; the same among the networks without batch norm; then how far ours is ahead of each other
    one, among the same networks."""
    ordered = sorted(records, key=lambda one: (one["dataset"], one["rank"]))
    header = ["data set", "trained on", "samples", "networks", *CORRELATIONS, "regret, points", "times faster", "note"]
    tables = [markdown(header, [_line(record) for record in ordered])]
    plain = [_plain_line(record) for record in ordered if _plain(record.get("measured"))]
    if plain:
        header = ["data set", "trained on", "networks without batch norm", *CORRELATIONS, "regret, points"]
        tables.append(markdown(header, plain))
    measured = {(one["dataset"], one["config"]["method"]): one["measured"] for one in ordered if "measured" in one}
    compared = [
        [
            dataset,
            _CALLED.get(method, method),
            *(_ahead(measured[dataset, _OURS], found, name) for name in CORRELATIONS),
        ]
        for (dataset, method), found in measured.items()
        if method != _OURS and _comparable(measured.get((dataset, _OURS)), found)
    ]
    if compared:
        tables.append(markdown(["data set", f"{_OURS} ahead of", *CORRELATIONS], compared))
    return "\n\n".join(tables)


def _line(record: Mapping[str, Any]) -> list[str]:
    method = record["config"]["method"]
    shown = [record["dataset"], _CALLED.get(method, method)]
    found = record.get("measured")
    if found is None:
        return [*shown, *[""] * (len(CORRELATIONS) + 4), record.get("failed") or "not searched"]
    scores, seconds = found["scores"], found["seconds"]
    faster = f"{seconds['full'] / seconds['proxy']:.1f}" if seconds["proxy"] else ""
    return [
        *shown,
        f"{found['samples']['proxy']:,}",
        f"{len(found['networks'])} of {found['search']['grid']}",
        *(_interval(scores[name]["rho"], scores[name]["interval"]) for name in CORRELATIONS),
        f"{100 * scores['regret']:.1f}",
        faster,
        record["note"],
    ]


def _plain(found: Mapping[str, Any] | None) -> list[int]:
    """Places of the networks without batch norm, whose running statistics are those of the set and not of real samples;
    empty where there are none with it."""
    networks = found["networks"] if found else []
    without = [place for place, label in enumerate(networks) if "norm=batch" not in label]
    return without if len(without) < len(networks) else []


def _plain_line(record: Mapping[str, Any]) -> list[str]:
    method, found = record["config"]["method"], record["measured"]
    kept = _plain(found)
    scores = scores_of(*(np.array(found[name])[kept] for name in ("full", "proxy")), seed=record["config"]["seed"])
    return [
        record["dataset"],
        str(_CALLED.get(method, method)),
        str(len(kept)),
        *(_interval(scores[name]["rho"], scores[name]["interval"]) for name in CORRELATIONS),
        f"{100 * scores['regret']:.1f}",
    ]


def _comparable(ours: Mapping[str, Any] | None, other: Mapping[str, Any]) -> bool:
    """Whether both were held against the same training of the same networks."""
    return ours is not None and ours["networks"] == other["networks"] and ours["full"] == other["full"]


def _ahead(ours: Mapping[str, Any], other: Mapping[str, Any], name: str) -> str:
    values, difference = np.array([ours["full"], ours["proxy"], other["proxy"]]), ahead(CORRELATIONS[name])
    interval = bootstrap(values, difference, Stream(0, "search", "ahead", name))
    return _interval(difference(values), interval and {"low": interval.low, "high": interval.high})


def _interval(value: float | None, interval: Mapping[str, float] | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:z.2f}" + (f" [{interval['low']:z.2f}, {interval['high']:z.2f}]" if interval else "")


NAS = Experiment(
    name="nas",
    summary="Our own: how well training on a set ranks 720 networks, beside early stopping, random and herded images",
    cells=_cells,
    table=_table,
    measure=_measure,
)
