"""The page of an experiment: its cells beside the paper's figures."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collabdm.report.charts import Chart, Series, line_chart
from collabdm.report.commands import experiment_command
from collabdm.report.heat import Heat, share_heat
from collabdm.report.page import render
from collabdm.report.reading import Cell, checked
from collabdm.report.run import data_name, provenance
from collabdm.report.sections import (
    Setting,
    StageRow,
    computed_seconds,
    flattened,
    mean_up,
    setting_rows,
    stage_rows,
)
from collabdm.report.wording import bytes_text, share, share_tick

__all__ = ["experiment_report"]

# What differs between cells without being what is compared, or has a column of its own.
_ASIDE = ("engine", "device", "seed", "dataset", "method")
_MOST_VARYING = 5
_COLOURS = 6


@dataclass(frozen=True, kw_only=True)
class _CellRow:
    """One finished cell: its `name` in tables, `varying` settings as texts, `difference` to the paper in points."""

    cell: Cell
    name: str
    method: str
    data: str
    varying: tuple[str, ...]
    difference: float | None
    up: float | None
    seconds: float | None
    command: str
    settings: list[Setting]
    stages: list[StageRow]
    provenance: list[tuple[str, str]]


def experiment_report(
    name: str, summary: str, cells: Sequence[Mapping[str, Any]], remaining: int, *, settings: Sequence[str] = ()
) -> bytes:
    """One self-contained HTML file about the cells that ran (the JSON of each); `remaining` are yet to run.

    `settings` (`key=value`) were given over the preset.
    Raises `RunFolderError` for a cell that is not what the runner writes.
    """
    read = sorted((_checked(cell) for cell in cells), key=lambda cell: (cell.rank, cell.cell))
    finished = [cell for cell in read if cell.failed is None and cell.accuracy is not None]
    keys = _varying(finished)
    # Where more varies than fits a table (one factor at a time), cells go by their names.
    named, keys = len(keys) > _MOST_VARYING, keys if len(keys) <= _MOST_VARYING else []
    rows = [_row(cell, keys, settings, named=named) for cell in finished]
    compared = [row.difference for row in rows if row.difference is not None]
    return render(
        "experiment.html",
        title=name,
        summary=summary,
        presets=sorted({cell.preset for cell in read if cell.preset}),
        given=settings,
        first="Cell" if named else "Method",
        keys=[key.rpartition(".")[2] if key.count(".") == 1 else key for key in keys],
        groups=_grouped(rows),
        done=len(finished),
        failed=[cell for cell in read if cell.failed is not None],
        remaining=remaining,
        seconds=sum(row.seconds or 0.0 for row in rows),
        off=statistics.fmean(map(abs, compared)) if compared else None,
        compared=len(compared),
        partitions=sorted({cell.partition.label for cell in finished if cell.partition and cell.partition.samples}),
        networks=sorted({network for cell in finished for network in cell.networks}),
        by_network=_by_network(rows),
        agreement=_agreement(rows),
        curves=_curves(rows),
        command=experiment_command(name, read[0].preset, settings) if read else "",
    )


def _checked(cell: Mapping[str, Any]) -> Cell:
    return checked(Cell, cell, f"cell {str(cell.get('cell', '?'))[:80]}")


def _varying(cells: Sequence[Cell]) -> list[str]:
    trees = [flattened(cell.config) for cell in cells]
    keys = list(dict.fromkeys(key for tree in trees for key in tree))
    vary = [key for key in keys if len({str(tree.get(key)) for tree in trees}) > 1]
    return [key for key in vary if key.split(".")[0] not in _ASIDE]


def _row(cell: Cell, keys: Sequence[str], given: Sequence[str], *, named: bool) -> _CellRow:
    tree = flattened(cell.config)
    method, data = str(tree.get("method", cell.cell)), cell.dataset or data_name(str(tree.get("dataset", "")))
    assert cell.accuracy is not None
    return _CellRow(
        cell=cell,
        name=cell.cell if named else method,
        method=method,
        data=f"{data}, {cell.stand_in} standing in" if cell.stand_in else data,
        varying=tuple("" if tree.get(key) is None else str(tree[key]) for key in keys),
        difference=None if cell.paper is None else 100 * cell.accuracy.mean - cell.paper,
        up=mean_up(cell),
        seconds=computed_seconds(cell.seconds),
        command=experiment_command(cell.experiment, cell.preset, given, cell.cell),
        settings=[setting for setting in setting_rows(cell.config) if setting.changed],
        stages=stage_rows(cell.seconds, cell.memory),
        provenance=provenance(cell.versions, cell.hardware),
    )


def _by_network(rows: Sequence[_CellRow]) -> Heat | None:
    """Accuracy of every cell as every architecture it was tested as, where there are several."""
    found = {row.cell.cell: row.cell.accuracy.by_network for row in rows if row.cell.accuracy is not None}
    found = {name: by_network for name, by_network in found.items() if by_network}
    networks = list(dict.fromkeys(network for by_network in found.values() for network in by_network))
    shares = [[one[name].mean if name in one else None for name in networks] for one in found.values()]
    return share_heat(shares, list(found), networks) if found else None


def _grouped(rows: Sequence[_CellRow]) -> list[tuple[str, list[_CellRow]]]:
    names = list(dict.fromkeys(row.data for row in rows))
    return [(name, [row for row in rows if row.data == name]) for name in names]


def _agreement(rows: Sequence[_CellRow]) -> Chart | None:
    """Ours against the paper's; on the line they are the same."""
    pairs = [
        (row.cell.paper / 100, row.cell.accuracy) for row in rows if row.cell.paper is not None and row.cell.accuracy
    ]
    if len(pairs) < 3:
        return None
    ends = [f(value for paper, ours in pairs for value in (paper, ours.mean)) for f in (min, max)]
    return line_chart(
        [
            Series(name="the same", points=[(end, end) for end in ends], look="dashed", colour=5),
            Series(
                name="a cell",
                points=[(paper, ours.mean) for paper, ours in pairs],
                spread=[ours.std for _, ours in pairs],
                look="dots",
            ),
        ],
        summary=f"{sum(ours.mean >= paper for paper, ours in pairs)} of {len(pairs)} cells reach the paper's accuracy.",
        x_label="the paper's accuracy",
        y_label="ours",
        x_text=share_tick,
        y_text=share_tick,
    )


def _curves(rows: Sequence[_CellRow]) -> list[tuple[str, Chart]]:
    """For each data set whose cells were judged on the way: accuracy against bytes, with the paper's figures."""
    return [(data, chart) for data, group in _grouped(rows) if (chart := _curve_chart(group)) is not None]


def _curve_chart(rows: Sequence[_CellRow]) -> Chart | None:
    series: list[Series] = []
    anchors: list[tuple[float, float]] = []
    told: list[str] = []
    for row in rows:
        points = _points(row)
        if len(points) < 2:
            continue
        name = " ".join([row.name, *(text for text in row.varying if text)])
        series.append(Series(name=name, points=points, colour=len(series) % _COLOURS))
        told.append(f"{name} reaches {share(points[-1][1])} at {bytes_text(points[-1][0])}")
        if row.cell.paper is not None:
            anchors.append((points[-1][0], row.cell.paper / 100))
        anchors += [(1e6 * megabytes, percent / 100) for megabytes, percent in row.cell.anchors]
    if not series:
        return None
    ends = [f(x for one in series for x, _ in one.points) for f in (min, max)]
    for row in rows:
        if row.cell.accuracy is None or row.up or not row.method.startswith("central"):
            continue
        name = " ".join([row.name, *(text for text in row.varying if text)])
        level = [(end, row.cell.accuracy.mean) for end in ends]
        series.append(Series(name=f"{name} (no bytes)", points=level, look="dashed", colour=len(series) % _COLOURS))
    if anchors:
        series.append(Series(name="the paper", points=anchors, look="hollow", colour=5))
    return line_chart(
        series,
        summary="Accuracy against bytes up. " + "; ".join(told) + ".",
        x_label="bytes up, each client",
        y_label="accuracy",
        x_text=bytes_text,
        y_text=share_tick,
    )


def _points(row: _CellRow) -> list[tuple[float, float]]:
    points = [(point.bytes_up, point.mean) for point in row.cell.curve if point.bytes_up is not None]
    if points and row.up is not None and row.cell.accuracy is not None and row.up >= points[-1][0]:
        points.append((row.up, row.cell.accuracy.mean))
    return points
