"""Architecture search: the networks of the grid trained on all data, and on something cheaper that is to foretell it.

What is cheaper is a cell's set, or, of the method `full-data`, all data shown as few samples as the sets get: early
stopping. Training on all data is the same for all cells, so they share it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collabdm.counting import counted
from collabdm.data.samples import Samples
from collabdm.distilled.set import load
from collabdm.engine import Engine
from collabdm.engine.plain import plain_torch
from collabdm.evaluation.judging import read_results, training_set, write_results
from collabdm.evaluation.networks import NetworkResult, Trials, network_results
from collabdm.experiments.base import FinishedRun
from collabdm.experiments.ranking import Statistic, bootstrap, regret, spearman, top_spearman
from collabdm.experiments.search_grid import GRID, buildable, cheap, stratified
from collabdm.experiments.sources import share
from collabdm.methods import method_named
from collabdm.networks import ClassifierSpec
from collabdm.planning import sample_for
from collabdm.progress import Event
from collabdm.randomness import Stream
from collabdm.simulation.pooled import all_data
from collabdm.storage.kept_results import result_key
from collabdm.training.recipes import Recipe
from collabdm.training.training_set import TrainingSet

__all__ = ["CORRELATIONS", "Search", "scores_of", "searched"]

CORRELATIONS: dict[str, Statistic] = {"all": spearman} | {f"top {count}": top_spearman(count) for count in (5, 10, 20)}
"""Spearman's correlation among all networks, and among the best by training on all data."""

# A network's initial values and batches in the training that counts are others than in that which foretells it.
_FORETOLD, _FORETELLING = 1, 0


@dataclass(frozen=True, kw_only=True)
class Search:
    """How the grid is searched.

    `networks`: so many of it, stratified, of those with at most `gigaflop` 10^9 operations a sample; None: all.
    Every network is shown `full` samples of all data, and `shown` of what is to foretell that, to the nearest number of
    whole epochs over what there is, and is tested on at most `test`. `lr` falls along half a cosine, over batches of
    `batch`.
    """

    full: int
    shown: int
    test: int
    networks: int | None = None
    gigaflop: float | None = None
    lr: float = 0.02
    batch: int = 64


@plain_torch()
def searched(run: FinishedRun, search: Search) -> dict[str, Any]:
    """Accuracies of every network by both trainings, in [0, 1], and `scores_of` them, as plain JSON; of a run without
    repeats."""
    specs, left_out = _specs(run, search)
    test = run.dataset.test.take(share(run.dataset.test, search.test))
    full = _ranked(run, search, specs, _real(run, search.full), test, counts=True)
    if method_named(run.config.method).source == "full":
        cheaper = _real(run, search.shown)
    else:
        cheaper = training_set(load(run.folder / "distilled"))
    proxy = _ranked(run, search, specs, cheaper, test, counts=False)
    accuracies = {name: [one.accuracy for one in of] for name, of in (("full", full), ("proxy", proxy))}
    return {
        "search": dataclasses.asdict(search) | {"grid": len(GRID)} | left_out,
        "samples": {"proxy": len(cheaper.labels), "test": len(test)},
        "networks": [spec.label for spec in specs],
        **accuracies,
        "diverged": {"full": sum(one.diverged for one in full), "proxy": sum(one.diverged for one in proxy)},
        "seconds": {"full": _seconds(full), "proxy": _seconds(proxy)},
        "scores": scores_of(*map(np.array, accuracies.values()), seed=run.config.seed),
    }


def scores_of(full: np.ndarray, proxy: np.ndarray, *, seed: int) -> dict[str, Any]:
    """How well `proxy` [n] foretells `full` [n]: each of `CORRELATIONS` with its interval (None: not defined), and the
    regret, in accuracy."""
    found: dict[str, Any] = {"regret": regret(full, proxy)}
    for name, statistic in CORRELATIONS.items():
        interval = bootstrap(
            np.stack([full, proxy]), lambda both, of=statistic: of(both[0], both[1]), Stream(seed, "search", name)
        )
        found[name] = {"rho": statistic(full, proxy), "interval": interval and dataclasses.asdict(interval)}
    return found


def _specs(run: FinishedRun, search: Search) -> tuple[list[ClassifierSpec], dict[str, int]]:
    """The networks, and how many of the grid are left out for what reason."""
    shape = sample_for(run.config, run.dataset.preset).shape
    there = buildable(GRID, shape)
    able = there if search.gigaflop is None else cheap(there, shape, search.gigaflop)
    # Of no seed of the run's: repeats and other seeds are to be of the same networks.
    specs = able if search.networks is None else stratified(able, search.networks, Stream(0, "search", "networks"))
    reasons = {
        "too_deep": len(GRID) - len(there),
        "too_costly": len(there) - len(able),
        "not_drawn": len(able) - len(specs),
    }
    told = {"too deep for such images": reasons["too_deep"], "too costly": reasons["too_costly"]}
    told["not drawn"] = reasons["not_drawn"]
    why = ", ".join(f"{count} {name}" for name, count in told.items() if count)
    _tell(run, f"{len(specs)} of the {len(GRID)} networks of the grid{f' ({why})' if why else ''}")
    return specs, reasons


def _ranked(
    run: FinishedRun,
    search: Search,
    specs: Sequence[ClassifierSpec],
    training: TrainingSet,
    test: Samples,
    *,
    counts: bool,
) -> list[NetworkResult]:
    """Every network trained and tested, or found among what was kept; `counts`: whether this is what is foretold."""
    size, wanted = len(training.labels), search.full if counts else search.shown
    recipe = Recipe(
        name="search", count=1, epochs=max(1, round(wanted / size)), lr=search.lr, batch=search.batch, schedule="cosine"
    )
    engine = _engine(run.engine)
    index = _FORETOLD if counts else _FORETELLING
    basis = {
        "training": training.digest(),
        "test": test.digest(),
        "networks": [spec.model_dump(mode="json") for spec in specs],
        "recipe": recipe.model_dump(mode="json"),
        "seed": [run.config.seed, index],
        "engine": engine.model_dump(mode="json", exclude={"threads", "processes"}),
    }
    folder = run.kept if counts and run.kept else run.folder
    file = folder / f"{result_key('search', basis)}.json"
    results = read_results(file)
    what = "all data" if counts else f"what {run.config.method} gives"
    if len(results) < len(specs):
        left = len(specs) - len(results)
        _tell(
            run,
            f"networks left to train on {what}: {left}; {size:,} samples, each shown {counted(recipe.epochs, 'time')}",
        )
    trials = Trials(networks=specs, recipe=recipe, seed=run.config.seed, engine=engine, first=index)
    for result in network_results(
        training, test, trials, done=len(results), unfinished=file.with_suffix(""), report=run.report
    ):
        results.append(result)
        write_results(file, results)
    return results


def _engine(engine: Engine) -> Engine:
    """Plain torch, as a compiler takes longer for hundreds of networks than they take; and in one dtype, as only some
    of them have a faster one. On a processor a network has one core to itself."""
    cores = {"threads": 1, "processes": engine.threads * engine.processes} if engine.device == "cpu" else {}
    dtype = "float64" if engine.dtype == "float64" else "float32"
    return engine.model_copy(update={"kind": "eager", "dtype": dtype} | cores)


def _real(run: FinishedRun, most: int) -> TrainingSet:
    """All data, or at most so many of them, the same for every seed."""
    train = run.dataset.train
    return all_data(dataclasses.replace(run.dataset, train=train.take(share(train, most))), run.config)


def _seconds(results: Sequence[NetworkResult]) -> float:
    return sum(one.seconds or 0.0 for one in results)


def _tell(run: FinishedRun, line: str) -> None:
    run.report(Event(stage="search", done=0, total=1, message=line))
