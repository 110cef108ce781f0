"""One cell: loaded, run, and its record written."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.engine import Engine
from collabdm.errors import CollabDMError, DataError, explain
from collabdm.experiments.base import Cell, FinishedRun, not_comparable
from collabdm.experiments.budget import Clock
from collabdm.experiments.grid import Checked, Grid
from collabdm.experiments.record_shapes import FinishedRecord, check_shape
from collabdm.experiments.records import (
    KEPT,
    RUNS,
    digest_of,
    failed_record,
    finished_record,
    read_records,
    same_data,
    write_record,
)
from collabdm.experiments.sources import content_digest, dataset_for, stand_in_for
from collabdm.planning import resolved
from collabdm.progress import Event, Report
from collabdm.storage.locks import door

__all__ = ["Work"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """What this process does in an experiment's folder. `commit`: of the source, for the records."""

    grid: Grid
    checked: Checked
    report: Report
    clock: Clock
    commit: str | None
    _datasets: dict[str, Dataset | CollabDMError] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _engines: dict[str, Engine] = field(default_factory=dict)

    def run(self, cell: Cell) -> dict[str, Any]:
        """A cell's record, written; the cell must be this process's alone."""
        folder, config = self.grid.folder, self.checked.configs[cell.name]
        run, described = folder / RUNS / cell.name, self._described(cell, config)
        self._check_data(cell)
        self.clock.enter(cell.name)
        try:
            dataset = self._dataset(cell)
            described["data"] = self._digests[cell.dataset]
            _check_enough(dataset, config)
            engine = self._engine(cell, dataset)
            simulate, kept = self.grid.experiment.simulate, folder / KEPT
            metrics = simulate(cell, dataset, config, run, engine=engine, kept=kept, report=self._told)
            # A run that was finished before is as its folder has it.
            tree, fix = finished_record(described, metrics, 0.0), f"remove {run}, and run the cell again"
            check_shape(FinishedRecord, tree, run / "metrics.json", expected="what a run measured", fix=fix)
            if self.grid.experiment.measure is not None:
                finished = FinishedRun(
                    dataset=dataset,
                    config=config,
                    folder=run,
                    engine=engine,
                    report=self._told,
                    scale=self.grid.scale.name,
                    kept=kept,
                )
                described["measured"] = dict(self.grid.experiment.measure(finished))
            record = finished_record(described, metrics, self.clock.leave())
        except CollabDMError as error:
            record = failed_record(described, error, self.clock.leave())
            self.report(Event(stage="experiment", done=0, total=1, message=f"{cell.name} failed: {error}"))
        except BaseException:
            self.clock.leave()
            raise
        with door(folder):
            write_record(folder, record)
        if "failed" not in record:
            self.tidy(cell)
        return record

    def tidy(self, cell: Cell) -> None:
        """Of a finished cell that nobody else is at, remove what its clients sent."""
        for sent in list((self.grid.folder / RUNS / cell.name).rglob("contributions")):
            shutil.rmtree(sent)

    def _described(self, cell: Cell, config: Config) -> dict[str, Any]:
        grid = self.grid
        standing_in = stand_in_for(cell.dataset, grid.data, grid.scale, cell.stand_in)
        why = not_comparable(cell, grid.scale, grid.settings, standing_in)
        given = f"with {', '.join(grid.settings)}" if grid.settings else ""
        note = cell.note if why is None else f"{why}: not comparable with the paper"
        return {
            "cell": cell.name,
            "experiment": grid.experiment.name,
            "preset": grid.scale.name,
            "rank": cell.rank,
            "dataset": cell.dataset,
            "paper": cell.paper if why is None else None,
            "paper_source": cell.paper_source if why is None else "",
            "anchors": [list(point) for point in cell.anchors] if why is None else [],
            "note": "; ".join(part for part in (note, given) if part),
            **({} if standing_in is None else {"stand_in": standing_in}),
            **({"factors": dict(cell.factors)} if cell.factors else {}),
            "digest": digest_of(config),
            "commit": self.commit,
            "config": config.model_dump(mode="json", exclude_none=True),
        }

    def _check_data(self, cell: Cell) -> None:
        """Data that cannot be had are the cell's own failure, told when it is run; other data are nobody's result."""
        if cell.dataset not in self._datasets:
            with suppress(CollabDMError):
                self._dataset(cell)
            if cell.dataset in self._digests:
                with door(self.grid.folder):
                    records = read_records(self.grid.folder, list(self.checked.cells.values())).values()
                    same_data(self.grid.folder, cell.dataset, self._digests[cell.dataset], records)

    def _told(self, event: Event) -> None:
        self.report(event)
        self.clock.look()

    def _dataset(self, cell: Cell) -> Dataset:
        """Loaded once for all cells; data that cannot be had are not asked for again."""
        name, config = cell.dataset, self.checked.configs[cell.name]
        if name not in self._datasets:
            # Where no cell says what they are, the data themselves do.
            read = {"modality": config.modality, "options": config.reading} if "modality" in cell.options else {}
            try:
                found = dataset_for(name, self.grid.data, self.grid.scale, stand_in=cell.stand_in, **read)
                self._datasets[name] = found
                self._digests[name] = content_digest(found)
            except CollabDMError as error:
                self._datasets[name] = error
        found = self._datasets[name]
        if isinstance(found, CollabDMError):
            raise found
        return found

    def _engine(self, cell: Cell, dataset: Dataset) -> Engine:
        """One engine for all cells of a data set and its networks, so that they share what they agree on."""
        key = _engine_key(cell, self.checked.configs)
        if key not in self._engines:
            alike = [
                self.checked.configs[name]
                for name, other in self.checked.cells.items()
                if _engine_key(other, self.checked.configs) == key
            ]
            self._engines[key] = resolved(alike, dataset.preset, report=self.report)
        return self._engines[key]


def _engine_key(cell: Cell, configs: Mapping[str, Config]) -> str:
    config = configs[cell.name]
    tree = config.model_dump(mode="json")
    parts = [cell.dataset, tree["engine"], config.device, tree["plan"]["network"], tree["evaluate"]["networks"]]
    return json.dumps(parts)


def _check_enough(dataset: Dataset, config: Config) -> None:
    counts = dataset.train.counts()
    fewest = int(counts.argmin())
    if counts[fewest] < config.ipc:
        got = f"{counts[fewest]} of {dataset.train.classes[fewest]}"
        expected = f"at least {config.ipc} of every class, the images per class asked for"
        raise DataError(explain("training samples", got=got, expected=expected, fix="a curve ends before this cell"))
