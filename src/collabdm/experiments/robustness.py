"""How skewed may data be? From an even split to one class per client, with and without the server's refinement.

Under `dirichlet` clients lack classes; under `dirichlet-reserved` (the authors' code) none does. One class per client
takes as many clients as classes, ten; the others have five.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.sources import CLASS_COLUMN
from collabdm.experiments.tables import accuracy_beside_paper, matrix

__all__ = ["ROBUSTNESS"]

METHODS = ("collabdm-pae", "local-dm-pae", "collabdm")
# The ends first: they say whether there is anything to look for between them.
BETAS = (0.01, 0.1, 10.0, 1.0, 0.03, 0.3)


def _cells(scale: Scale) -> tuple[Cell, ...]:
    splits: dict[str, dict[str, object]] = {
        "one-class": {"partition.kind": "by-column", "partition.column": CLASS_COLUMN, "partition.clients": 10},
        "iid": {"partition.kind": "iid"},
    }
    for beta in BETAS if scale.whole else BETAS[:1]:
        for kind in ("dirichlet", "dirichlet-reserved"):
            splits[f"{kind}-{beta:g}"] = {"partition.kind": kind, "partition.beta": beta}
    wanted = [(split, method) for split in splits for method in METHODS[: 3 if scale.whole else 2]]
    return tuple(
        Cell(
            name=f"{split}-{method}",
            options={"dataset": "cifar10", "method": method, "ipc": scale.reduced(10)} | splits[split],
            rank=rank,
            note="ten clients, one class each" if split == "one-class" else "",
        )
        for rank, (split, method) in enumerate(wanted)
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    return matrix(
        sorted(records, key=_skew),
        corner="partition",
        row=_split,
        column=lambda one: one["config"]["method"],
        shown=accuracy_beside_paper,
    )


def _split(record: Mapping[str, Any]) -> str:
    shared = record["config"]["partition"]
    named = {"by-column": "one class per client", "iid": "iid"}
    return named.get(shared["kind"], f"{shared['kind']} {shared['beta']:g}")


def _skew(record: Mapping[str, Any]) -> tuple[float, str, int]:
    shared = record["config"]["partition"]
    ends: Mapping[str, float] = {"by-column": 0.0, "iid": float("inf")}
    skew = ends[shared["kind"]] if shared["kind"] in ends else float(shared["beta"])
    return skew, shared["kind"], record["rank"]


ROBUSTNESS = Experiment(
    name="robustness",
    summary="How skewed may data be? CIFAR-10 from IID over beta 10 to 0.01 to one class per client",
    cells=_cells,
    table=_table,
)
