"""What many rounds cost: accuracy against bytes of the strawman of section 4.1, beside CollabDM's: Fashion-MNIST.

The strawmen are judged on the way; CollabDM has different numbers of seeds, and with none it is `local-dm`, the union
of the local sets, from which the strawmen begin as well.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_and_spread, markdown

__all__ = ["STRAWMAN"]

SEEDS = (50, 5, 20)
RIVALS = ("strawman-gradient", "strawman-meta")
# What a set judged on the way says of itself, where the rounds are many.
_PRICED = {"rounds", "bytes_down", "bytes_up", "std", "networks"}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    seeds = SEEDS if scale.whole else (10,)
    first, *others = [(f"collabdm-{count}", "collabdm", count) for count in seeds]
    wanted = [first, *((name, name, seeds[0]) for name in (*RIVALS, "local-dm")), *others]
    return tuple(
        Cell(
            name=name,
            options={
                "dataset": "fashion_mnist",
                "method": method,
                "ipc": scale.reduced(10),
                "plan.seeds": count,
            },
            rank=rank,
        )
        for rank, (name, method, count) in enumerate(wanted)
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line for every set that was judged, the cells by what they sent."""
    header = ("cell", "rounds", "MB per client, both ways", "accuracy, %", "note")
    return markdown(header, [line for record in sorted(records, key=_megabytes) for line in _lines(record)])


def _lines(record: Mapping[str, Any]) -> Iterator[list[str]]:
    name = record["cell"]
    if "failed" in record:
        yield [name, "", "", "failed", record["failed"]]
        return
    for point in record.get("curve", ()):
        if set(point) >= _PRICED:
            sent = (point["bytes_down"] + point["bytes_up"]) / 1e6
            yield [name, f"{point['rounds']}", f"{sent:.2f}", accuracy_and_spread({"accuracy": point}), ""]
    rounds, sent = record.get("rounds", ""), _megabytes(record)
    yield [name, f"{rounds}", f"{sent:.2f}", accuracy_and_spread(record), record["note"]]


def _megabytes(record: Mapping[str, Any]) -> float:
    """Means over the clients, down and up; a cell that failed comes last."""
    if "failed" in record:
        return float("inf")
    return sum(statistics.fmean(record["bytes"].get(way, {}).values() or [0]) for way in ("down", "up")) / 1e6


STRAWMAN = Experiment(
    name="strawman",
    summary="Section 4.1: accuracy against bytes of many rounds (strawmen, judged on the way) and of 5 to 50 seeds",
    cells=_cells,
    table=_table,
)
