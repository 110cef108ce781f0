"""How far an experiment is, and how many hours remain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.data.presets import PRESETS, Preset, generic_preset
from collabdm.data.series.stored import declared_series
from collabdm.data.tabular.column import Column
from collabdm.data.tabular.reader import table_preset
from collabdm.data.tabular.schema import TableSchema
from collabdm.errors import RunFolderError, explain
from collabdm.experiments.base import Cell, Experiment, config_of
from collabdm.experiments.presets import Scale, scale_named
from collabdm.experiments.records import begun_with, read_records, read_spent
from collabdm.methods import method_named
from collabdm.planning import work_of

__all__ = ["GFLOP_PER_SECOND", "CellStatus", "Status", "status_of"]

# Where nothing has been measured: two cores with AVX-512 make 200 to 500 with our kernels, 50 to 100 without.
GFLOP_PER_SECOND = 150.0


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """`state`: finished, failed, begun or left. `spent`: seconds so far; `remaining`: seconds estimated."""

    cell: Cell
    state: str
    spent: float
    remaining: float
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """An experiment's folder: its scale and settings, its records and every cell, in order of rank.

    `uncounted`: rivals that are left, and whose own distillation is in no estimate yet.
    """

    experiment: str
    scale: Scale
    settings: tuple[str, ...]
    records: tuple[Mapping[str, Any], ...]
    cells: tuple[CellStatus, ...]
    uncounted: tuple[str, ...] = ()

    def count(self, state: str) -> int:
        """Cells in a state."""
        return sum(one.state == state for one in self.cells)

    @property
    def spent(self) -> float:
        """Seconds of work so far."""
        return sum(one.spent for one in self.cells)

    @property
    def remaining(self) -> float:
        """Seconds of work that remain, estimated."""
        return sum(one.remaining for one in self.cells)


def status_of(experiment: Experiment, folder: Path) -> Status:
    """Read the folder; nobody is disturbed there.

    A cell that is left takes what finished cells of its method took for as much work (counted in operations of round
    and evaluation), or else all finished cells, or else `GFLOP_PER_SECOND`. For rivals the count leaves out their own
    distillation: before one of a method is finished, its estimate is too low, and the method is `uncounted`.
    Raises `RunFolderError` where the folder has none, or another experiment.
    """
    begun = begun_with(folder)
    if begun is None or begun.get("experiment") != experiment.name:
        got = "none" if begun is None else begun.get("experiment")
        fix = "check --out, or begin it with `experiment run`"
        raise RunFolderError(explain(f"{folder}", got=got, expected=f"experiment {experiment.name}", fix=fix))
    scale, settings, stand_ins = scale_named(begun["preset"]), tuple(begun["settings"]), begun["stand_ins"]
    cells = sorted(experiment.cells(scale), key=lambda cell: (cell.rank, cell.name))
    records, spent = read_records(folder, cells), read_spent(folder)
    configs = {cell.name: config_of(cell, scale, settings, dataset=stand_ins.get(cell.dataset)) for cell in cells}
    # By what the cell is here: a record of another version may have settings that this one does not know.
    finished = {name: record["spent"] for name, record in records.items() if "failed" not in record}
    rates = _rates([(configs[name], seconds) for name, seconds in finished.items()])
    found, uncounted = [], {}
    for cell in cells:
        record = records.get(cell.name)
        # A folder that was copied has records, and no file of seconds.
        used = spent.get(cell.name, 0.0 if record is None else record["spent"])
        if record is not None and "failed" not in record:
            found.append(CellStatus(cell=cell, state="finished", spent=used, remaining=0.0))
            continue
        config = configs[cell.name]
        if method_named(config.method).source == "rival" and config.method not in rates:
            uncounted[config.method] = None
        rate = rates.get(config.method, rates.get("", 1 / GFLOP_PER_SECOND))
        left = max(rate * _work(config) - used, 0.0)
        if record is not None:
            found.append(CellStatus(cell=cell, state="failed", spent=used, remaining=left, why=record["failed"]))
        else:
            found.append(CellStatus(cell=cell, state="begun" if used else "left", spent=used, remaining=left))
    return Status(
        experiment=experiment.name,
        scale=scale,
        settings=settings,
        records=tuple(records[cell.name] for cell in cells if cell.name in records),
        cells=tuple(found),
        uncounted=tuple(uncounted),
    )


def _rates(finished: Sequence[tuple[Config, float]]) -> dict[str, float]:
    """Seconds per 10^9 operations, by method, and over all under an empty name."""
    seconds: dict[str, float] = {}
    work: dict[str, float] = {}
    for config, spent in finished:
        for name in (config.method, ""):
            seconds[name] = seconds.get(name, 0.0) + spent
            work[name] = work.get(name, 0.0) + _work(config)
    return {name: spent / work[name] for name, spent in seconds.items() if work[name] > 0}


def _work(config: Config) -> float:
    return work_of(config, PRESETS.get(config.dataset) or _UNREAD[config.modality])


# Sizes of data that are not known before they are read: of images the paper's flows, of others middling ones.
_COLUMNS = tuple(Column(name=f"column {place}", kind="numeric", low=0, high=1) for place in range(16))
_UNREAD: dict[str, Preset] = {
    "images": generic_preset("images", (1, 64, 64), tuple("abcde")),
    "tables": table_preset("tables", TableSchema(label="class", columns=_COLUMNS), tuple("abcdefghij")),
    "series": declared_series("series", tuple("abcdefghij"), channels=3, length=128),
}
