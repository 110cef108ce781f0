"""The additive teacher alone (`analytic`): accuracy against bytes, and that the split does not matter.

Widths of the feature map from a quarter of a megabyte to nine, five clients under `dirichlet` 0.1, without any floor;
then the same map with one client that has everything, and with fifty.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_and_spread, markdown, megabytes_up

__all__ = ["ADDITIVE"]

# Filters of 6x6 pixels, eight features each: with CIFAR-10 about 0.2, 0.8, 3.1, 0.1, 0.3, 1.5 and 8 MB.
WIDTHS = (96, 208, 480, 64, 128, 304, 800)
FEWER = (208, 480, 64)
CLIENTS = (1, 50)


def _cells(scale: Scale) -> tuple[Cell, ...]:
    wanted = [("cifar10", width, 5) for width in (WIDTHS if scale.whole else FEWER[2:])]
    if scale.whole:
        wanted += [(dataset, width, 5) for width in FEWER for dataset in ("fashion_mnist", "mnist")]
        wanted += [("cifar10", FEWER[0], clients) for clients in CLIENTS]
    return tuple(
        Cell(
            name=f"{dataset}-{width}-{clients}",
            options={
                "dataset": dataset,
                "method": "analytic",
                "plan.features": {"name": "mirrored-patches", "width": width},
                "partition.kind": "dirichlet" if clients > 1 else "single",
                "partition.clients": clients,
                "partition.beta": 0.1,
                # The paper mirrors digits too, and sums of features would average a digit with its mirror image.
                **({"plan.augment": "auto"} if dataset == "mnist" else {}),
            },
            rank=rank,
        )
        for rank, (dataset, width, clients) in enumerate(wanted)
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line a cell, by data set, clients and width."""
    header = ("data set", "clients", "features", "accuracy, %", "largest contribution, MB", "note")
    return markdown(header, [_line(record) for record in sorted(records, key=_place)])


def _place(record: Mapping[str, Any]) -> tuple[str, int, int]:
    dataset, width, clients = record["cell"].rsplit("-", 2)
    return dataset, int(clients), int(width)


def _line(record: Mapping[str, Any]) -> list[str]:
    dataset, clients, width = _place(record)
    named = [dataset, str(clients), str(8 * width)]
    if "failed" in record:
        return [*named, "none", "", record["failed"]]
    return [*named, accuracy_and_spread(record), f"{megabytes_up(record):.2f}", record["note"]]


ADDITIVE = Experiment(
    name="additive",
    summary="Our own: the ridge classifier of all data (analytic), accuracy against bytes; 1, 5 and 50 clients",
    cells=_cells,
    table=_table,
)
