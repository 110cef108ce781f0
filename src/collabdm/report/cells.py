"""The cells of an experiment as a page tells them: a row of a table, and a part that unfolds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collabdm.report.commands import experiment_command
from collabdm.report.reading import Cell
from collabdm.report.result import ResultView, result_view, sets_in
from collabdm.report.run import data_name, metrics_of, provenance
from collabdm.report.sections import Setting, StageRow, computed_seconds, flattened, mean_up, setting_rows, stage_rows

__all__ = ["MOST_WHOLE", "CellRow", "cell_rows", "grouped"]

MOST_WHOLE = 30
"""Cells that are told with all their sections; of a whole grid the page would be too large."""

# Images of a class over all cells together: with few cells each shows as many as a run's own page.
_MOST_OF_CLASS = 60


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """One finished cell: its `name` in tables, `difference` to the paper in points.

    `varying`: the settings that vary in the experiment, as texts; `settings`: all of them by dotted key.
    `result`: all its sections, None where only the essential is told; `changed`: settings that are not the defaults.
    """

    cell: Cell
    name: str
    method: str
    data: str
    varying: tuple[str, ...]
    settings: Mapping[str, str]
    difference: float | None
    up: float | None
    seconds: float | None
    command: str
    result: ResultView | None
    changed: list[Setting]
    stages: list[StageRow]
    provenance: list[tuple[str, str]]


def cell_rows(
    cells: Sequence[Cell],
    keys: Sequence[str],
    given: Sequence[str],
    *,
    named: bool,
    folder: Path | None,
    real: bool = True,
) -> list[CellRow]:
    """One row a finished cell; the first `MOST_WHOLE` have a `result`, with images and losses where `folder` has runs.

    `keys`: the settings that tell cells apart; `given`: those over the preset; `named`: rows go by the cells' names.
    `real`: whether a run's real examples stand beside its sets.
    Raises `RunFolderError` or `DistilledSetError` for a damaged run.
    """
    runs = {cell.cell: run for cell in cells[:MOST_WHOLE] if (run := _run_of(cell, folder)) is not None}
    of_class = min(max(_MOST_OF_CLASS // max(len(runs), 1), 1), 6)
    return [
        _row(
            cell,
            keys,
            given,
            named=named,
            result=_result(cell, runs.get(cell.cell), of_class, real=real) if whole else None,
        )
        for cell, whole in ((cell, number < MOST_WHOLE) for number, cell in enumerate(cells))
    ]


def grouped(rows: Sequence[CellRow]) -> list[tuple[str, list[CellRow]]]:
    """Rows by what they are about, in the order in which that comes."""
    names = list(dict.fromkeys(row.data for row in rows))
    return [(name, [row for row in rows if row.data == name]) for name in names]


def _run_of(cell: Cell, folder: Path | None) -> Path | None:
    """The cell's run folder, where it is still there. A record's name must not lead out of the experiment."""
    if folder is None or Path(cell.cell).name != cell.cell:
        return None
    run = folder / "runs" / cell.cell
    return run if (run / "metrics.json").is_file() else None


def _result(cell: Cell, run: Path | None, of_class: int, *, real: bool) -> ResultView:
    if run is None:
        return result_view(cell, cell.config)
    losses = metrics_of(run)[0].losses
    return result_view(cell, cell.config, losses=losses, sets=sets_in(run, real=real), of_class=of_class)


def _row(cell: Cell, keys: Sequence[str], given: Sequence[str], *, named: bool, result: ResultView | None) -> CellRow:
    tree = flattened(cell.config | {"factors": cell.factors})
    method, data = str(tree.get("method", cell.cell)), cell.dataset or data_name(str(tree.get("dataset", "")))
    texts = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in tree.items()
        if value is not None
    }
    assert cell.accuracy is not None
    return CellRow(
        cell=cell,
        name=cell.cell if named else method,
        method=method,
        data=f"{data}, {cell.stand_in} standing in" if cell.stand_in else data,
        varying=tuple(texts.get(key, "") for key in keys),
        settings=texts,
        difference=None if cell.paper is None else 100 * cell.accuracy.mean - cell.paper,
        up=mean_up(cell),
        seconds=computed_seconds(cell.seconds),
        command=experiment_command(cell.experiment, cell.preset, given, cell.cell),
        result=result,
        changed=[setting for setting in setting_rows(cell.config) if setting.changed],
        stages=stage_rows(cell.seconds, cell.memory),
        provenance=provenance(cell.versions, cell.hardware),
    )
