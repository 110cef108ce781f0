"""What the local stage gains or loses by reusing the statistics that are sent anyway (`local.reuse`): digits.

After 1, 2 and 5 passes of the local stage over the client's seeds, with reuse (no real image is embedded again) and
fresh (another encoder and batch at every iteration): the union of the local sets, and the set after refinement.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_and_spread, matrix

__all__ = ["LOCAL_REUSE"]

METHODS = ("local-dm-pae", "collabdm-pae")
STAGES = ("reuse", "fresh")
# The most and the fewest passes first.
PASSES = (5, 1, 2)


def _cells(scale: Scale) -> tuple[Cell, ...]:
    seeds = 60 if scale.whole else 10
    wanted = product(PASSES if scale.whole else PASSES[:1], METHODS, STAGES)
    return tuple(
        Cell(
            name=f"{passes}-{stage}-{method}",
            options={
                "dataset": "digits",
                "method": method,
                "ipc": 2,
                "plan.seeds": seeds,
                "local.iterations": passes * seeds,
                "local.reuse": stage == "reuse",
            },
            rank=rank,
        )
        for rank, (passes, method, stage) in enumerate(wanted)
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    return matrix(
        sorted(records, key=_place),
        corner="passes of the local stage",
        row=lambda one: _factors(one)[0],
        column=lambda one: ", ".join(reversed(_factors(one)[1:])),
        shown=lambda one: "failed" if "failed" in one else accuracy_and_spread(one),
    )


def _factors(record: Mapping[str, Any]) -> tuple[int, str, str]:
    """Passes, how the stage draws, and the method: a cell's name has no more than them."""
    passes, stage, method = record["cell"].split("-", 2)
    return int(passes), stage, method


def _place(record: Mapping[str, Any]) -> tuple[int, int, int]:
    passes, stage, method = _factors(record)
    return passes, METHODS.index(method), STAGES.index(stage)


LOCAL_REUSE = Experiment(
    name="local-reuse",
    summary="Our own: digits, 1, 2 and 5 passes of the local stage, on the statistics that are sent or on fresh ones",
    cells=_cells,
    table=_table,
)
