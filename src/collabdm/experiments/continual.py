"""Continual learning: classes come in steps, and networks are trained from scratch on what is remembered (GDumb).

Twenty images a class, the same augmentation for all. Beside the literature's rows, whose data are in one place,
CollabDM with each step's data spread over sites, and sites that come one after another, each with new classes (`add`).
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.evaluation.markdown import markdown
from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.in_steps import learned_in_steps
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import percent_and_spread

__all__ = ["CONTINUAL"]

ORDERS = 5
# By name: the method, and whether sites arrive with the classes. What is claimed first, then what it is held against.
ROWS = {
    "collabdm-pae": ("collabdm-pae", False),
    "arriving-collabdm-pae": ("collabdm-pae", True),
    "random-real": ("random-real", False),
    "central-herding": ("central-herding", False),
    "central-dm": ("central-dm", False),
    "collabdm": ("collabdm", False),
}
_FEW = 3


def _cells(scale: Scale) -> tuple[Cell, ...]:
    dataset = "cifar100" if scale.large else "fashion_mnist"
    rows = list(ROWS)[: None if scale.whole else _FEW]
    wanted = [
        (order, steps, row)
        for order in range(ORDERS if scale.large else 1)
        for steps in ((5, 10) if scale.large else (5,))
        for row in rows
    ]
    return tuple(
        Cell(
            name=f"{dataset}-{steps}-order{order}-{row}",
            options={
                "dataset": dataset,
                "method": ROWS[row][0],
                "ipc": scale.reduced(20),
                "partition.beta": 0.1,
                # The order of the classes is drawn from the seed, and orders are the repeats.
                "seed": order,
                "repeats": 1,
            },
            factors={"row": row, "steps": steps, "arriving": ROWS[row][1]},
            rank=rank,
        )
        for rank, (order, steps, row) in enumerate(wanted)
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line for each way to remember, over all class orders and networks; a line for each cell that failed."""
    header = ("data set", "steps", "remembered", "orders", "after each step, %", "mean, %", "forgetting", "note")
    groups: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    failed = []
    for record in sorted(records, key=lambda one: (one["factors"]["steps"], one["rank"])):
        factors = record["factors"]
        if "failed" in record:
            shown = [record["dataset"], str(factors["steps"]), factors["row"]]
            failed.append([*shown, "", "", "", "", f"{record['cell']}: {record['failed']}"])
        else:
            groups.setdefault((record["dataset"], factors["steps"], factors["row"]), []).append(record)
    return markdown(header, [*(_line(*key, group) for key, group in groups.items()), *failed])


def _line(dataset: str, steps: int, row: str, group: Sequence[Mapping[str, Any]]) -> list[str]:
    orders = [one["measured"] for one in group]
    after = [[statistics.fmean(step) for step in zip(*one["after"], strict=True)] for one in orders]
    shown = ", ".join(f"{100 * statistics.fmean(step):.1f}" for step in zip(*after, strict=True))
    means, forgotten = ([statistics.fmean(one[name]) for one in orders] for name in ("mean", "forgetting"))
    notes = "; ".join(dict.fromkeys(note for one in group if (note := one["note"])))
    return [
        dataset,
        str(steps),
        row,
        str(len(group)),
        shown,
        percent_and_spread(means),
        percent_and_spread(forgotten),
        notes,
    ]


CONTINUAL = Experiment(
    name="continual",
    summary="Our own: classes come in steps, networks learn anew from 20 images a class; and sites that arrive later",
    cells=_cells,
    table=_table,
    simulate=learned_in_steps,
)
