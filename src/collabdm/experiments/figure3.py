"""The paper's Figure 3: accuracy against images per class on images of flows, a client per base station.

The images are any that `collabdm flows to-images` made. A curve ends before the first number of images per class that
some class has fewer training windows than: that cell fails and says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.sources import IMAGES
from collabdm.experiments.tables import LARGEST, accuracy_and_spread, largest_megabytes, markdown

__all__ = ["BY_STATION", "FIGURE3"]

IPC = (1, 10, 50, 5, 20)
METHODS = ("collabdm-pae", "collabdm", "random-real")
BY_STATION = {"dataset": IMAGES, "partition.kind": "by-column", "partition.column": "station"}
_PAPER = {1: 89, 10: 99}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for ipc in IPC if scale.whole else IPC[:2]:
        for method in METHODS:
            paper = _PAPER.get(ipc) if method == "collabdm-pae" else None
            options = BY_STATION | {"method": method, "ipc": scale.reduced(ipc)}
            note = "" if paper is None else f"the paper, on 5G-NIDD: {paper} %"
            cells.append(Cell(name=f"ipc{ipc}-{method}", options=options, rank=len(cells), note=note))
    return tuple(cells)


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line a cell, by method; a contribution of more than 9 MB makes it none of the paper's."""
    ordered = sorted(records, key=lambda one: (METHODS.index(one["config"]["method"]), one["config"]["ipc"]))
    header = ("method", "images per class", "accuracy, %", "macro-F1, %", LARGEST, "note")
    return markdown(header, [_line(record) for record in ordered])


def _line(record: Mapping[str, Any]) -> list[str]:
    config = record["config"]
    named = [config["method"], f"{config['ipc']}"]
    if "failed" in record:
        return [*named, "none", "", "", record["failed"]]
    return [
        *named,
        accuracy_and_spread(record),
        f"{100 * record['accuracy']['macro_f1']['mean']:.1f}",
        largest_megabytes(record),
        record["note"],
    ]


FIGURE3 = Experiment(
    name="figure3",
    summary="Figure 3: accuracy against images per class on images of flows (--data images=FOLDER)",
    cells=_cells,
    table=_table,
)
