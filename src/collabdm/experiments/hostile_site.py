"""A cell with a hostile site: it plants a trigger in its images and then does all that an honest site does.

What it sends is well-formed and honest about the data that it has made, so no check of a contribution can refuse it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.distilled.set import load
from collabdm.engine import Engine
from collabdm.engine.plain import plain_torch
from collabdm.evaluation.judging import judge, training_set
from collabdm.experiments.base import Cell
from collabdm.experiments.triggers import chequered, matched, planted, planted_rows, triggered
from collabdm.planning import network_for, sample_for
from collabdm.progress import Event, Report
from collabdm.randomness import Stream
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.simulate import simulate_on

__all__ = ["SHARE", "TARGET", "with_hostile_site"]

TARGET = 0
"""The class that triggered images are to be taken for."""
SHARE = 0.5
"""Of the hostile site's images of other classes, how many it stamps and calls the target."""
SITE = "hostile-experiment-site"


@plain_torch()
def with_hostile_site(
    cell: Cell, dataset: Dataset, config: Config, folder: Path, *, engine: Engine, kept: Path, report: Report
) -> Mapping[str, Any]:
    """The run's metrics, with the attack's success as `measured`.

    `cell.factors["attack"]`: `naive`, `optimised`, or `none`, where both triggers are tested on an honest round: what
    they do by themselves. The data are shared before anything is planted, and the first site is the hostile one.
    """
    attack, parts = cell.factors["attack"], parts_of(config, dataset)
    site = min(parts)
    triggers = {
        name: _trigger(name, dataset, parts[site], config, engine)
        for name in (("naive", "optimised") if attack == "none" else (attack,))
    }
    train, rows = dataset.train, np.empty(0, np.int64)
    if attack != "none":
        rows = planted_rows(train, parts[site], TARGET, SHARE, Stream(config.seed, "backdoor"))
        train = planted(train, rows, TARGET, triggers[attack])
    message = f"site {site} plants {len(rows)} triggered images as {train.classes[TARGET]} ({attack})"
    report(Event(stage="backdoor", done=0, total=1, message=message))
    sites = np.empty(len(train), dtype=object)
    for name, indices in parts.items():
        sites[indices] = name
    shared = config.partition.model_copy(update={"kind": "by-column", "column": SITE})
    own = replace(dataset, train=train, columns={**dataset.columns, SITE: sites.astype(str)})
    settled = config.model_copy(update={"partition": shared})
    metrics = simulate_on(own, settled, folder, engine=engine, kept=kept, report=report)
    training, success = training_set(load(folder / "distilled")), {}
    for name, trigger in triggers.items():
        tested = replace(dataset, test=triggered(dataset.test, TARGET, trigger))
        path = folder / f"networks-{name}.json"
        found = judge(training, tested, config, engine=engine, kept=path, report=report)
        success[name] = [one.accuracy for one in found.results]
    told = {"site": site, "target": train.classes[TARGET], "planted": len(rows), "success": success}
    # The sites' column is how the planted data are handed over; how they were shared is what was asked.
    own_partition = metrics["partition"] | {"kind": config.partition.kind}
    return {**metrics, "partition": own_partition, "measured": told}


def _trigger(name: str, dataset: Dataset, held: np.ndarray, config: Config, engine: Engine) -> np.ndarray:
    naive = chequered(dataset.train.shape)
    if name == "naive":
        return naive
    return matched(
        dataset.train.take(held),
        TARGET,
        naive,
        sample=sample_for(config, dataset.preset),
        network=network_for(config, dataset.preset),
        engine=engine,
        seed=config.seed,
    )
