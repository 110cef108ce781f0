"""Running an experiment's cells, one after the other, the most informative first.

Finished cells are skipped, and a killed run goes on inside the cell that it was in. A cell that fails is recorded and
does not stop the others.
"""

import fnmatch
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.engine import Engine, found_device
from collabdm.errors import CollabDMError, ConfigError, DataError, RunFolderError, explain
from collabdm.experiments.base import Cell, Experiment, FinishedRun, check_settings, config_of, not_comparable
from collabdm.experiments.budget import Budget, BudgetSpentError, Clock
from collabdm.experiments.presets import Scale
from collabdm.experiments.record_shapes import FinishedRecord, check_shape
from collabdm.experiments.records import (
    commit,
    digest_of,
    failed_record,
    finished_record,
    opened,
    read_records,
    same_data,
    write_record,
)
from collabdm.experiments.sources import check_given, content_digest, dataset_for, stand_in_for
from collabdm.planning import resolved
from collabdm.progress import Event, Report, silent
from collabdm.storage.locks import locked

__all__ = ["Outcome", "chosen_cells", "run_experiment"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of the cells asked for: how many are finished, which failed (name -> why), how many are left.

    `stopped`: the cell in which the budget was spent.
    """

    finished: int
    failed: Mapping[str, str]
    left: int
    stopped: str | None = None


_UNLIMITED = Budget()


def run_experiment(
    experiment: Experiment,
    scale: Scale,
    folder: Path,
    *,
    settings: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    budget: Budget = _UNLIMITED,
    report: Report = silent,
) -> Outcome:
    """Run what is not finished of the cells whose names match a pattern of `only` (all by default), by rank.

    `settings` (`key=value`) go over the scale's, and stand in the notes; `data` says where data sets lie, by name.
    When the `budget` is spent it stops inside a cell, and goes on there the next time. Everything that can be wrong
    with settings is found before anything is computed.
    Raises `ConfigError` for settings or patterns that fit nothing; `RunFolderError` where the folder has other things,
    was begun with other settings or data, or is being worked in.
    """
    data, cells = dict(data or {}), experiment.cells(scale)
    check_settings(cells, settings)
    check_given(data, {cell.dataset for cell in cells})
    chosen = chosen_cells(cells, only)
    standing_in = {cell.dataset: stand_in_for(cell.dataset, data, scale, cell.stand_in) for cell in cells}
    configs = {cell.name: config_of(cell, scale, settings, dataset=standing_in[cell.dataset]) for cell in cells}
    for device in sorted({config.device for config in configs.values()}):
        found_device(device)
    facts = {
        "experiment": experiment.name,
        "preset": scale.name,
        "settings": list(settings),
        "stand_ins": {name: other for name, other in sorted(standing_in.items()) if other is not None},
    }
    with locked(folder):
        opened(folder, facts)
        records = read_records(folder, cells)
        _check_unchanged(folder, configs, records)
        work = _Work(
            experiment=experiment,
            scale=scale,
            folder=folder,
            cells={cell.name: cell for cell in cells},
            configs=configs,
            settings=settings,
            data=data,
            report=report,
            clock=Clock(folder, budget),
            commit=commit(),
        )
        outcome = _worked_off(work, chosen, records)
        every = read_records(folder, cells)
        if len(every) == len(cells) and not any("failed" in record for record in every.values()):
            shutil.rmtree(folder / "kept", ignore_errors=True)
    return outcome


def chosen_cells(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    """Cells whose name matches one of the patterns (`*`, `?`), by rank; all without patterns.

    Raises `ConfigError` for a pattern that no cell matches.
    """
    for pattern in only:
        if not fnmatch.filter([cell.name for cell in cells], pattern):
            expected = f"a pattern such as {cells[0].name if cells else '*'} or *"
            raise ConfigError(
                explain("--only", got=pattern[:80], expected=expected, fix="see `experiment list NAME --preset PRESET`")
            )
    chosen = [cell for cell in cells if not only or any(fnmatch.fnmatchcase(cell.name, one) for one in only)]
    return sorted(chosen, key=lambda cell: (cell.rank, cell.name))


def _check_unchanged(folder: Path, configs: Mapping[str, Config], records: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `RunFolderError` for a finished cell whose settings were others."""
    for name, record in records.items():
        if record["digest"] != digest_of(configs[name]) and "failed" not in record:
            fix = f"remove cells/{name}.json and runs/{name} to run it anew, or choose another --out"
            raise RunFolderError(
                explain(f"{folder}: cell {name}", got="other settings", expected="those it was run with", fix=fix)
            )


def _worked_off(work: "_Work", chosen: Sequence[Cell], records: Mapping[str, Mapping[str, Any]]) -> Outcome:
    """Run the chosen cells that have no record of a finished one, until the budget is spent."""
    finished, failed, stopped = 0, {}, None
    for number, cell in enumerate(chosen):
        if cell.name in records and "failed" not in records[cell.name]:
            work.tidy(cell)
            finished += 1
            continue
        message = _place(cell, number, len(chosen))
        work.report(Event(stage="experiment", done=number, total=len(chosen), message=message))
        try:
            record = work.run(cell)
        except BudgetSpentError:
            stopped = cell.name
            break
        if "failed" in record:
            failed[cell.name] = record["failed"]
        else:
            finished += 1
    return Outcome(finished=finished, failed=failed, left=len(chosen) - finished - len(failed), stopped=stopped)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    experiment: Experiment
    scale: Scale
    folder: Path
    cells: Mapping[str, Cell]
    configs: Mapping[str, Config]
    settings: Sequence[str]
    data: Mapping[str, str]
    report: Report
    clock: Clock
    commit: str | None
    _datasets: dict[str, Dataset | CollabDMError] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _engines: dict[str, Engine] = field(default_factory=dict)

    def run(self, cell: Cell) -> dict[str, Any]:
        """A cell's record, written."""
        config, run = self.configs[cell.name], self.folder / "runs" / cell.name
        described = self._described(cell, config)
        self._check_data(cell)
        self.clock.enter(cell.name)
        try:
            dataset = self._dataset(cell)
            described["data"] = self._digests[cell.dataset]
            _check_enough(dataset, config)
            engine = self._engine(cell, dataset)
            kept = self.folder / "kept"
            metrics = self.experiment.simulate(cell, dataset, config, run, engine=engine, kept=kept, report=self._told)
            # A run that was finished before is as its folder has it.
            tree, fix = finished_record(described, metrics, 0.0), f"remove {run}, and run the cell again"
            check_shape(FinishedRecord, tree, run / "metrics.json", expected="what a run measured", fix=fix)
            if self.experiment.measure is not None:
                finished = FinishedRun(dataset=dataset, config=config, folder=run, engine=engine, report=self._told)
                described["measured"] = dict(self.experiment.measure(finished))
            record = finished_record(described, metrics, self.clock.leave())
        except CollabDMError as error:
            record = failed_record(described, error, self.clock.leave())
            self.report(Event(stage="experiment", done=0, total=1, message=f"{cell.name} failed: {error}"))
        except BaseException:
            self.clock.leave()
            raise
        write_record(self.folder, record)
        if "failed" not in record:
            self.tidy(cell)
        return record

    def tidy(self, cell: Cell) -> None:
        """Of a finished cell, remove what its clients sent."""
        for sent in list((self.folder / "runs" / cell.name).rglob("contributions")):
            shutil.rmtree(sent)

    def _described(self, cell: Cell, config: Config) -> dict[str, Any]:
        standing_in = stand_in_for(cell.dataset, self.data, self.scale, cell.stand_in)
        why = not_comparable(cell, self.scale, self.settings, standing_in)
        given = f"with {', '.join(self.settings)}" if self.settings else ""
        note = cell.note if why is None else f"{why}: not comparable with the paper"
        return {
            "cell": cell.name,
            "experiment": self.experiment.name,
            "preset": self.scale.name,
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
                records = read_records(self.folder, list(self.cells.values())).values()
                same_data(self.folder, cell.dataset, self._digests[cell.dataset], records)

    def _told(self, event: Event) -> None:
        self.report(event)
        self.clock.look()

    def _dataset(self, cell: Cell) -> Dataset:
        """Loaded once for all cells; data that cannot be had are not asked for again."""
        name, config = cell.dataset, self.configs[cell.name]
        if name not in self._datasets:
            # Where no cell says what they are, the data themselves do.
            read = {"modality": config.modality, "options": config.reading} if "modality" in cell.options else {}
            try:
                found = dataset_for(name, self.data, self.scale, stand_in=cell.stand_in, **read)
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
        key = self._key(cell)
        if key not in self._engines:
            alike = [self.configs[name] for name, other in self.cells.items() if self._key(other) == key]
            self._engines[key] = resolved(alike, dataset.preset, report=self.report)
        return self._engines[key]

    def _key(self, cell: Cell) -> str:
        config = self.configs[cell.name]
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


def _place(cell: Cell, number: int, total: int) -> str:
    return f"cell {number + 1} of {total}: {cell.name}"
