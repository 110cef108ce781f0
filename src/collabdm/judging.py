"""Judging a set as a run's settings say, so that an interrupted run goes on after its last finished network."""

import dataclasses
import json
import time
from pathlib import Path

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.distilled_set import DistilledSet
from collabdm.engine import Engine
from collabdm.evaluation import NetworkResult, evaluate
from collabdm.files import write_json
from collabdm.pixels import Normalisation
from collabdm.planning import networks_tested, protocol_for
from collabdm.progress import Report
from collabdm.training import TrainingSet

__all__ = ["judge", "training_set"]


def judge(
    training: TrainingSet, dataset: Dataset, config: Config, *, engine: Engine, kept: Path | None, report: Report
) -> tuple[list[NetworkResult], float]:
    """Results of all networks that `config.evaluate` asks for, and the seconds it took.

    Results are written to the file `kept` as they come; networks that are there already are not trained again.
    """
    started = time.perf_counter()
    results = _read_results(kept) if kept else []
    for result in evaluate(
        training,
        dataset.test,
        networks=networks_tested(config, dataset.preset),
        protocol=protocol_for(config),
        seed=config.seed,
        engine=engine,
        done=len(results),
        report=report,
    ):
        results.append(result)
        if kept:
            write_json(kept, [dataclasses.asdict(result) for result in results])
    return results, time.perf_counter() - started


def training_set(distilled: DistilledSet) -> TrainingSet:
    """A distilled set as classifiers are trained on it: expanded, with its normalisation and augmentation."""
    full = distilled.expanded()
    normalisation = Normalisation(mean=full.mean, std=full.std)
    return TrainingSet(images=full.images, labels=full.labels, normalisation=normalisation, augment=full.augment)


def _read_results(path: Path) -> list[NetworkResult]:
    if not path.exists():
        return []
    return [NetworkResult(**one | {"per_class": tuple(one["per_class"])}) for one in json.loads(path.read_text())]
