"""Judging a set as a run's settings say, so that an interrupted run goes on after its last finished network."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.data import Dataset, Preset
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.evaluation.networks import NetworkResult, Trials, network_results
from collabdm.planning import networks_tested, recipe_for
from collabdm.progress import Report
from collabdm.storage.files import read_json, write_json
from collabdm.training.teacher_labels import TeacherLabels
from collabdm.training.training_set import TrainingSet

__all__ = ["Judgement", "judge", "judgement", "read_results", "training_set", "trials_of", "write_results"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Results of all networks; their seconds added up, before an interruption too; and the most memory (MB)."""

    results: list[NetworkResult]
    seconds: float
    memory: float


def judge(
    training: TrainingSet, dataset: Dataset, config: Config, *, engine: Engine, kept: Path | None, report: Report
) -> Judgement:
    """Train and test all networks that `config.evaluate` asks for.

    Results are written to the file `kept` as they come, and networks under way to files beside it: neither is computed
    again.
    """
    # What of the test data is changed to fit is told, as sites are told it of theirs.
    training.sample.check_values(dataset.test.values, any_range=dataset.test.any_range)
    results = read_results(kept) if kept else []
    trials = trials_of(config, dataset.preset, engine)
    unfinished = kept.with_suffix("") if kept else None
    for result in network_results(
        training, dataset.test, trials, done=len(results), unfinished=unfinished, report=report
    ):
        results.append(result)
        if kept:
            write_results(kept, results)
    return judgement(results)


def trials_of(config: Config, preset: Preset, engine: Engine) -> Trials:
    """The networks that `config.evaluate` asks for, as they fit such data."""
    return Trials(networks=networks_tested(config, preset), recipe=recipe_for(config), seed=config.seed, engine=engine)


def judgement(results: list[NetworkResult]) -> Judgement:
    """The results with what they cost."""
    return Judgement(
        results=results,
        seconds=sum(result.seconds or 0.0 for result in results),
        memory=max((result.memory or 0.0 for result in results), default=0.0),
    )


def training_set(distilled: DistilledSet, teacher: TeacherLabels | None = None) -> TrainingSet:
    """A distilled set as classifiers are trained on it: expanded, with its augmentation and its targets, if any, and
    the teacher for recipes that ask it; as it is exported, where its modality says so."""
    full = distilled.exported() if distilled.sample.judged_as_exported else distilled.expanded()
    return TrainingSet(
        samples=full.samples,
        labels=full.labels,
        sample=full.sample,
        augment=full.augment,
        targets=full.targets,
        teacher=teacher,
    )


def read_results(path: Path) -> list[NetworkResult]:
    """The results in a file that `write_results` wrote, or none where there is no such file."""
    if not path.exists():
        return []
    rows = [{name: _frozen(value) for name, value in one.items()} for one in read_json(path, list)]
    return [NetworkResult(**one) for one in rows]


def write_results(path: Path, results: list[NetworkResult]) -> None:
    """Keep the results so far."""
    write_json(path, [dataclasses.asdict(result) for result in results])


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
