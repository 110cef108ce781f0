"""Sets of ten images per class at the sizes of contribution that `--max-upload` chooses among: CIFAR-10, beta 0.1.

Each rung has more seeds or more features than the one before. Three of them are there without the Gram matrix too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_and_spread, markdown, megabytes_up

__all__ = ["LADDER"]

RUNGS = ((50, 128), (50, 0), (10, 32), (10, 0), (100, 208), (100, 0), (25, 64), (200, 432))


def _cells(scale: Scale) -> tuple[Cell, ...]:
    cells = []
    for rank, (seeds, width) in enumerate(RUNGS if scale.whole else ((5, 32), (5, 0))):
        gram = {"plan.statistics": ["mean", "gram"], "plan.features": {"name": "mirrored-patches", "width": width}}
        options = {
            "dataset": "cifar10",
            "method": "collabdm-pae",
            "ipc": scale.reduced(10),
            "plan.seeds": seeds,
            "plan.encoding": "int6",
            **(gram if width else {}),
            # The teacher's term and steps class by class exclude each other.
            "server.step": "joint",
        }
        cells.append(Cell(name=f"{seeds}-{width}", options=options, rank=rank))
    return tuple(cells)


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    header = ("seeds", "features", "accuracy, %", "largest contribution, MB", "note")
    return markdown(header, [_line(record) for record in sorted(records, key=_place)])


def _place(record: Mapping[str, Any]) -> tuple[int, int]:
    seeds, width = record["cell"].split("-")
    return int(seeds), int(width)


def _line(record: Mapping[str, Any]) -> list[str]:
    seeds, width = _place(record)
    named = [str(seeds), str(8 * width) if width else "none"]
    if "failed" in record:
        return [*named, "none", "", record["failed"]]
    return [*named, accuracy_and_spread(record), f"{megabytes_up(record):.2f}", record["note"]]


LADDER = Experiment(
    name="ladder",
    summary="Our own: sets of ten images per class at sizes that --max-upload chooses among, CIFAR-10",
    cells=_cells,
    table=_table,
)
