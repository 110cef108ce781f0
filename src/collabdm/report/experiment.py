"""The page of an experiment: its cells beside the paper's figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collabdm.evaluation.markdown import tables_in
from collabdm.report.cells import MOST_WHOLE, CellRow, cell_rows
from collabdm.report.commands import experiment_command
from collabdm.report.experiment_brief import of_cells, of_paper
from collabdm.report.experiment_charts import agreement, curves
from collabdm.report.groups import Group, groups
from collabdm.report.heat import Heat, share_heat
from collabdm.report.page import render
from collabdm.report.reading import Cell, checked
from collabdm.report.sections import flattened

__all__ = ["experiment_report"]

# What differs between cells without being what is compared, or has a column of its own.
_ASIDE = ("engine", "device", "seed", "dataset", "method", "server.evaluate_every")
_MOST_VARYING = 5
_MOST_TOLD = 8
_JUDGED = ("evaluate.protocol", "evaluate.epochs")
# What a reader asks first of a table; told once where all cells agree on it.
_SIZES = ("ipc", "partition.clients", "plan.seeds", "plan.batch", "local.iterations", "evaluate.protocol")


def experiment_report(
    name: str,
    summary: str,
    cells: Sequence[Mapping[str, Any]],
    remaining: int,
    *,
    measured: str = "",
    settings: Sequence[str] = (),
    folder: Path | None = None,
    real: bool = True,
) -> bytes:
    """One self-contained HTML file about the cells that ran (the JSON of each); `remaining` are yet to run.

    `measured`: tables in Markdown of what the experiment asks, where that is not the accuracy of its cells.

    `settings` (`key=value`) were given over the preset. `folder`: the experiment's, for the images and
    losses that cells' own runs left there, with real examples (`real`) or without.
    Raises `RunFolderError` for a cell that is not what the runner writes; `DistilledSetError` for a damaged set.
    """
    read = sorted((_checked(cell) for cell in cells), key=lambda cell: (cell.rank, cell.cell))
    finished = [cell for cell in read if cell.failed is None and cell.accuracy is not None]
    keys = _varying(finished)
    # Where more varies than fits a table (one factor at a time), cells go by their names.
    named = len(keys) > _MOST_VARYING
    # Accuracies of two recipes are not to be compared, so what judged is never left out.
    keys = [key for key in keys if not named or key in _JUDGED]
    rows = cell_rows(finished, keys, settings, named=named, folder=folder, real=real)
    tables = groups(rows, keys, named=named)
    return render(
        "experiment.html",
        title=name,
        summary=summary,
        presets=sorted({cell.preset for cell in read if cell.preset}),
        given=settings,
        first="Cell" if named else "Method",
        # Which cell's network is most accurate is no answer where something else was asked.
        brief=[] if measured else _brief(tables, rows),
        measured=tables_in(measured),
        groups=tables,
        most_whole=MOST_WHOLE,
        done=len(finished),
        failed=[cell for cell in read if cell.failed is not None],
        remaining=remaining,
        seconds=sum(cell.spent or 0.0 for cell in finished),
        several=any(row.cell.accuracy and len(row.cell.accuracy.networks) > 1 for row in rows),
        compared=any(row.difference is not None for row in rows),
        shared=_shared(finished),
        partitions=sorted({cell.partition.label for cell in finished if cell.partition and cell.partition.samples}),
        networks=sorted({network for cell in finished for network in cell.networks}),
        by_network=_by_network(rows),
        agreement=agreement(rows),
        curves=curves(rows, keys),
        command=experiment_command(name, read[0].preset, settings) if read else "",
    )


def _checked(cell: Mapping[str, Any]) -> Cell:
    return checked(Cell, cell, f"cell {str(cell.get('cell', '?'))[:80]}")


def _brief(tables: Sequence[Group], rows: Sequence[CellRow]) -> list[str]:
    told = [of_cells(one) for one in tables[:_MOST_TOLD]]
    if len(tables) > _MOST_TOLD:
        told.append(f"{len(tables) - _MOST_TOLD} more data sets are in the tables below.")
    return [*told, *filter(None, [of_paper(rows)])]


def _varying(cells: Sequence[Cell]) -> list[str]:
    trees = [flattened(cell.config | {"factors": cell.factors}) for cell in cells]
    keys = list(dict.fromkeys(key for tree in trees for key in tree))
    vary = [key for key in keys if len({str(tree.get(key)) for tree in trees}) > 1]
    return [key for key in vary if key not in _ASIDE and key.split(".")[0] not in _ASIDE]


def _shared(cells: Sequence[Cell]) -> list[str]:
    """Those of `_SIZES` that all cells agree on, as `key = value`."""
    trees = [flattened(cell.config) for cell in cells]
    values = {key: {str(tree.get(key, "")) for tree in trees} for key in _SIZES}
    return [f"{key} = {one}" for key, found in values.items() if len(found) == 1 and (one := found.pop())]


def _by_network(rows: Sequence[CellRow]) -> Heat | None:
    """Accuracy of every cell as every architecture it was tested as, where there are several."""
    found = {row.cell.cell: row.cell.accuracy.by_network for row in rows if row.cell.accuracy is not None}
    found = {name: by_network for name, by_network in found.items() if by_network}
    networks = list(dict.fromkeys(network for by_network in found.values() for network in by_network))
    shares = [[one[name].mean if name in one else None for name in networks] for one in found.values()]
    return share_heat(shares, list(found), networks) if found else None
