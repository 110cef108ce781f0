"""What the additive teacher gives a set: its terms one by one, judged by networks of every architecture; beta 0.1.

All rows of a data set and a size have the same clients, local sets and means in the encoding int6, and differ in what
guides the server's refinement, or in the recipe that judges: recipes are to be compared within one only. `together`
has more features too, as there the teacher is part of what is tested.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.cross_architecture import ARCHITECTURES, architectures_at
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_by_network

__all__ = ["TEACHER"]

_GRAM: dict[str, Any] = {"plan.statistics": ["mean", "gram"]}
# What is tested beside the network is worth more bytes than what guides alone.
_WIDER = {"plan.features": {"name": "mirrored-patches", "width": 384}}
_CONVNET = {"evaluate.networks": ARCHITECTURES[:1]}
# What guides the refinement, or judges -> settings; the most informative first.
TERMS: dict[str, dict[str, Any]] = {
    "none": {},
    "cross-entropy": _GRAM,
    "kernel": _GRAM | {"server.teacher_loss": "kernel"},
    "bounded": _GRAM | {"server.bounded": True},
    "strong": _GRAM | _CONVNET | {"evaluate.protocol": "strong"},
    "taught": _GRAM | _CONVNET | {"evaluate.protocol": "taught"},
    "together": _GRAM | _CONVNET | _WIDER | {"evaluate.protocol": "together"},
}
# The others are what changes, and the judges, at ten images per class; these at fifty show the best that there is, and
# two hundred with a wider teacher what as many bytes are worth as floats of fifty take.
_LARGE = ("none", "cross-entropy", "taught", "together")
_MANY = {"cifar10-200-taught": {"plan.features": {"name": "mirrored-patches", "width": 480}}}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    grid = [("cifar10", 10, term) for term in TERMS]
    grid += [(dataset, 50, term) for dataset in ("cifar10", "fashion_mnist", "mnist") for term in _LARGE]
    grid.append(("cifar10", 200, "taught"))
    if not scale.whole:
        grid = [("cifar10", 10, term) for term in ("none", "cross-entropy")]
    cells = []
    for rank, (dataset, ipc, term) in enumerate(grid):
        options = {
            "dataset": dataset,
            "method": "collabdm-pae",
            "ipc": scale.reduced(ipc),
            "partition.beta": 0.1,
            "plan.encoding": "int6",
            # The teacher's term and steps class by class exclude each other.
            "server.step": "joint",
            "evaluate.networks": architectures_at(scale) if ipc == 10 else ARCHITECTURES[:1],
            "plan.features": {"name": "mirrored-patches", "width": 208 if scale.whole else 32},
            **TERMS[term],
            **_MANY.get(name := f"{dataset}-{ipc}-{term}", {}),
        }
        cells.append(Cell(name=name, options=options, rank=rank))
    return tuple(cells)


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    return accuracy_by_network(records, corner="cell", row=lambda record: record["cell"])


TEACHER = Experiment(
    name="teacher",
    summary="Our own: what the additive teacher gives a set, term by term and to every architecture",
    cells=_cells,
    table=_table,
)
