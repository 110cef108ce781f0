"""Sets of a few samples a class, by every way to make few of many, judged by several kinds of classifiers.

What experiments on other data than images have in common: the paper has none, so whatever the preset, rounds have the
settings that suit the data; presets decide on seeds, batches and the judges' recipe. Models (`fedavg`, `ensemble`,
`analytic`) are tested as they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from collabdm.baselines import rival_named
from collabdm.experiments.base import Cell, Record
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import LARGEST, markdown, megabytes_up
from collabdm.methods import method_named

__all__ = ["BETAS", "METHODS", "FewSamples", "Source"]

BETAS = (0.1, 0.5)
METHODS = (
    *("collabdm", "central-kmeans", "k-fed", "fed-kmeans", "random-real", "central-herding", "local-dm"),
    *("analytic", "fedavg", "ensemble", "full-data"),
)
_POOLED = ("random-real", "full-data")
_ROUND: dict[str, Any] = {
    "plan.augment": "auto",
    "server.step": "joint",
    "server.passes": 5,
    "server.schedule": "cosine",
    "server.reach": 0.05,
    "server.weighting": "count",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set of the grid. `called`: in cells' names and tables; `sizes`: samples a class, the most telling first;
    `options`: settings that it is read by; `stand_in`: what a scale that needs no data takes for it."""

    name: str
    called: str
    sizes: tuple[int, ...]
    stand_in: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FewSamples:
    """The grid of `sources`, skews, sizes and methods, judged by `judges`; `plural`: what samples are called.

    `settings` are those of every cell, and `refined` those of the one round that is refined.
    """

    sources: tuple[Source, ...]
    judges: tuple[str, ...]
    settings: Mapping[str, Any]
    refined: Mapping[str, Any]
    plural: str

    def cells(self, scale: Scale) -> tuple[Cell, ...]:
        """By skew, then size, data set and method. A small scale has one skew, one size, and no stand-in twice."""
        found: dict[str, tuple[Source, dict[str, Any]]] = {}
        sources = self.sources if scale.whole else tuple({one.stand_in: one for one in self.sources[::-1]}.values())
        sizes = list(dict.fromkeys(size for one in self.sources for size in one.sizes))
        for beta in BETAS if scale.whole else BETAS[:1]:
            for ipc in sizes if scale.whole else sizes[:1]:
                for source in sources:
                    for method in METHODS if ipc in source.sizes else ():
                        name = _name(source.called, beta, ipc, method)
                        found.setdefault(name, (source, self._options(source, beta, ipc, method, scale)))
        return tuple(
            Cell(name=name, options=options, rank=rank, stand_in=source.stand_in)
            for rank, (name, (source, options)) in enumerate(found.items())
        )

    def table(self, records: Sequence[Record]) -> str:
        """A line a cell, by data set, skew and size; a column for each judge."""
        header = ("data set", "beta", f"{self.plural} a class", "method", *self.judges, "the model itself", LARGEST)
        lines = [list(self._line(record)) for record in sorted(records, key=self._place)]
        return markdown((*header, "note"), lines)

    def _options(self, source: Source, beta: float, ipc: int, method: str, scale: Scale) -> dict[str, Any]:
        options = {"dataset": source.name, "method": method, **source.options, **_ROUND, **self.settings}
        options["evaluate.networks"] = self.judges
        # What is without effect is the same for all cells, so that a cell is there once.
        options["ipc"] = scale.reduced(ipc if _sized(method) else source.sizes[0])
        options |= {"local.method": "dm", **(self.refined if method == "collabdm" else {})}
        if not _pooled(method):
            options |= {"partition.kind": "dirichlet", "partition.beta": beta}
        return options

    def _place(self, record: Record) -> tuple[int, bool, float, int, int]:
        config = record["config"]
        method, beta = config["method"], config["partition"]["beta"]
        pooled, size = _pooled(method), config["ipc"] if _sized(method) else 10**6
        place = [one.name for one in self.sources].index(record["dataset"])
        return place, pooled, 0.0 if pooled else beta, size, METHODS.index(method)

    def _line(self, record: Record) -> Iterator[str]:
        config = record["config"]
        method = config["method"]
        yield next(one.called for one in self.sources if one.name == record["dataset"])
        yield "pooled" if _pooled(method) else f"{config['partition']['beta']:g}"
        yield str(config["ipc"]) if _sized(method) else "all" if method == "full-data" else ""
        yield method
        tested = () if "failed" in record else record["accuracy"]["networks"]
        model = method != "full-data" and not _sized(method)
        for judge in self.judges:
            yield "" if model else _mean(one["accuracy"] for one in tested if one["network"] == judge)
        yield _mean(one["accuracy"] for one in tested) if model else ""
        yield "" if "failed" in record else f"{megabytes_up(record):.2f}"
        yield record.get("failed", record["note"])


def _name(called: str, beta: float, ipc: int, method: str) -> str:
    """What makes no difference is not in the name."""
    parts = [called, *([] if _pooled(method) else [str(beta)]), *([f"ipc{ipc}"] if _sized(method) else []), method]
    return "-".join(parts)


def _pooled(method: str) -> bool:
    return method in _POOLED or method_named(method).central


def _sized(method: str) -> bool:
    model = method_named(method).source == "rival" and rival_named(method).product == "model"
    return method != "full-data" and not model


def _mean(accuracies: Iterator[float]) -> str:
    found = list(accuracies)
    return f"{100 * fmean(found):.1f}" if found else ""
