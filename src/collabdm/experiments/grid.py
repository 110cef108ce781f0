"""An experiment as it is asked for: its cells, their settings, and which of them are chosen; all checked before any
work."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.errors import ConfigError, RunFolderError, explain
from collabdm.experiments.base import Cell, Experiment, check_settings, config_of
from collabdm.experiments.presets import Scale
from collabdm.experiments.records import digest_of
from collabdm.experiments.sources import check_given, stand_in_for

__all__ = ["Checked", "Grid", "checked", "chosen_cells"]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """An experiment at a scale, in its folder: `settings` (`key=value`) go over the scale's, and `data` says where data
    sets lie, by name."""

    experiment: Experiment
    scale: Scale
    folder: Path
    settings: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The grid's cells and their settings, by name; `facts`: what its folder is begun with."""

    cells: Mapping[str, Cell]
    configs: Mapping[str, Config]
    facts: Mapping[str, Any]

    def check_unchanged(self, folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise `RunFolderError` for a finished cell whose settings were others."""
        for name, record in records.items():
            if record["digest"] != digest_of(self.configs[name]) and "failed" not in record:
                fix = f"remove cells/{name}.json and runs/{name} to run it anew, or choose another --out"
                raise RunFolderError(
                    explain(f"{folder}: cell {name}", got="other settings", expected="those it was run with", fix=fix)
                )


def checked(grid: Grid) -> Checked:
    """The grid's cells with their settings. Raises `ConfigError` for settings or data that fit nothing."""
    cells = grid.experiment.cells(grid.scale)
    check_settings(cells, grid.settings)
    check_given(grid.data, {cell.dataset for cell in cells})
    standing_in = {cell.dataset: stand_in_for(cell.dataset, grid.data, grid.scale, cell.stand_in) for cell in cells}
    return Checked(
        cells={cell.name: cell for cell in cells},
        configs={
            cell.name: config_of(cell, grid.scale, grid.settings, dataset=standing_in[cell.dataset]) for cell in cells
        },
        facts={
            "experiment": grid.experiment.name,
            "preset": grid.scale.name,
            "settings": list(grid.settings),
            "stand_ins": {name: other for name, other in sorted(standing_in.items()) if other is not None},
        },
    )


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
