"""One run of a simulation, as its parts see it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from collabdm.config import Config
from collabdm.data import Dataset, partition_table
from collabdm.engine import Engine
from collabdm.evaluation.judging import Judgement, judge
from collabdm.progress import Report
from collabdm.report.pictures import partition_picture
from collabdm.rounds.terms import Terms
from collabdm.storage.files import write_atomically
from collabdm.training.training_set import TrainingSet

__all__ = ["Run", "shared"]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Its data, settings and folder; `kept`: where costly results are shared with other runs, if they are."""

    dataset: Dataset
    config: Config
    folder: Path
    kept: Path | None
    terms: Terms
    report: Report

    @property
    def engine(self) -> Engine:
        """How it is computed, which the settings in a run's folder always say."""
        assert isinstance(self.config.engine, Engine)
        return self.config.engine

    def judge(self, training: TrainingSet, *, kept: str = "networks.json") -> Judgement:
        """What networks that learn `training` reach; results lie in the file `kept` of the folder."""
        path = self.folder / kept
        return judge(training, self.dataset, self.config, engine=self.engine, kept=path, report=self.report)


def shared(run: Run, parts: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The partition's settings, and how many samples of each class every client holds; also as a picture."""
    train, settings = run.dataset.train, run.config.partition
    table = partition_table(train, dict(parts))
    write_atomically(run.folder / "partition.png", partition_picture(table, list(parts), list(train.classes)))
    held = {"kind": settings.kind, "clients": list(parts), "samples": table.tolist()}
    shared = settings.model_dump(mode="json", exclude_none=True)
    return shared | {"participation": run.config.plan.participation} | held
