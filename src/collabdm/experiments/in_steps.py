"""A cell of class-incremental learning: a round at each step, on that step's classes alone; all sets are kept.

Either each step's data are spread over the same sites (`spread`), or every step is a site of its own that comes with
its classes (`arriving`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.distilled.set import DistilledSet, load
from collabdm.engine import Engine
from collabdm.engine.memory import merged, with_total
from collabdm.engine.plain import plain_torch
from collabdm.evaluation.judging import Judgement
from collabdm.evaluation.networks import summary
from collabdm.experiments.arrivals import arrived
from collabdm.experiments.base import Cell
from collabdm.experiments.class_steps import Steps, class_steps, of_classes
from collabdm.experiments.memory import added, check_tested, joined, judged_in_steps, measured, seen_part
from collabdm.planning import networks_tested, recipe_for
from collabdm.progress import Report
from collabdm.randomness import Stream
from collabdm.rounds.run_folder import environment
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_json

__all__ = ["learned_in_steps"]


@plain_torch()
def learned_in_steps(
    cell: Cell, dataset: Dataset, config: Config, folder: Path, *, engine: Engine, kept: Path, report: Report
) -> Mapping[str, Any]:
    """Its metrics: accuracy after the last step, bytes and seconds of all steps; `measured` as `memory.measured` says.

    `cell.factors`: `steps`, and whether sites are `arriving`. The class order is drawn from `config.seed`.
    Raises `ConfigError` where the classes do not suffice for the steps; `DataError` for a class without test samples.
    """
    check_tested(dataset)
    steps = class_steps(len(dataset.train.classes), cell.factors["steps"], Stream(config.seed, "class order"))
    if cell.factors["arriving"]:
        sets, metrics = arrived(dataset, config, folder, steps, engine=engine, kept=kept, report=report)
        memories = [seen_part(one, [y for step in steps[: t + 1] for y in step]) for t, one in enumerate(sets)]
    else:
        sets, metrics = _spread(dataset, config, folder, steps, engine=engine, kept=kept, report=report)
        memories = [joined(sets[: t + 1]) for t in range(len(steps))]
    found = judged_in_steps(memories, steps, dataset, config, run=folder, engine=engine, report=report)
    memories[-1].save(folder / "distilled", overwrite=True)
    tested = of_classes(dataset, [y for step in steps for y in step])
    ended = {
        "accuracy": summary(found[-1].results, tested.test.classes),
        "product": "set",
        "networks": [spec.label for spec in networks_tested(config, dataset.preset)],
        "protocol": recipe_for(config).model_dump(),
        "measured": measured(found, steps, dataset),
    }
    metrics = _with_judging(metrics, found) | ended
    metrics |= environment(engine, metrics["memory"])
    write_json(folder / "metrics.json", metrics)
    return metrics


def _spread(
    dataset: Dataset, config: Config, folder: Path, steps: Steps, *, engine: Engine, kept: Path, report: Report
) -> tuple[list[DistilledSet], dict[str, Any]]:
    """The set of each step, and what all steps cost together."""
    # What a step's classes are worth by themselves nobody asks: one short training, as a run must end with one.
    briefly = config.evaluate.model_copy(update={"count": 1, "epochs": 1})
    brief, sets, runs = config.model_copy(update={"evaluate": briefly}), [], []
    for t, step in enumerate(steps):
        own = folder / f"step-{t}"
        runs.append(simulate_on(of_classes(dataset, step), brief, own, engine=engine, kept=kept, report=report))
        sets.append(load(own / "distilled"))
    partition = {name: value for name, value in runs[-1]["partition"].items() if name not in ("samples", "clients")}
    return sets, {
        "rounds": sum(run["rounds"] for run in runs),
        "bytes": added([{way: run["bytes"].get(way, {}) for way in ("down", "up")} for run in runs]),
        "seconds": added([run["seconds"] for run in runs]),
        "memory": merged(*(run["memory"] for run in runs)),
        "partition": partition,
    }


def _with_judging(metrics: dict[str, Any], found: list[Judgement]) -> dict[str, Any]:
    judged = sum(one.seconds for one in found)
    spent = metrics["seconds"]
    ends = {name: spent.get(name, 0.0) + judged for name in ("evaluate", "total")}
    memory = with_total(metrics["memory"] | {"evaluate": max(one.memory for one in found)})
    return metrics | {"seconds": spent | ends, "memory": memory}
