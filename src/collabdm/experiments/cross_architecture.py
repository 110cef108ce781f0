"""Sets distilled on one architecture, networks of every other trained on them; on images (the paper: on flows).

Random real images, judged by the same networks, say how much of an accuracy is the architecture's own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_by_network

__all__ = ["ARCHITECTURES", "CROSS_ARCHITECTURE", "architectures_at", "distilled_on"]

ARCHITECTURES = ("convnet", "alexnet", "resnet18", "vgg11")


def architectures_at(scale: Scale) -> tuple[str, ...]:
    """All four; at a small scale those that take 8x8 images."""
    return ARCHITECTURES if scale.whole else ARCHITECTURES[:2]


def distilled_on(records: Sequence[Mapping[str, Any]]) -> str:
    """The matrix of accuracies: a row for each cell, a column for each architecture tested."""
    return accuracy_by_network(records, corner="distilled on", row=_row)


def _row(record: Mapping[str, Any]) -> str:
    config = record["config"]
    network = (config["plan"].get("network") or {}).get("name")
    named = [network] if network else []
    return ", ".join(named if network and config["method"] == "collabdm-pae" else [*named, config["method"]])


def _cells(scale: Scale) -> tuple[Cell, ...]:
    networks = architectures_at(scale)
    shared = {
        "dataset": "cifar10",
        "ipc": scale.reduced(10),
        "partition.beta": 0.1,
        "evaluate.networks": networks,
    }
    cells = [
        Cell(name=network, options=shared | {"method": "collabdm-pae", "plan.network": network}, rank=rank)
        for rank, network in enumerate(networks)
    ]
    pooled = Cell(name="random-real", options=shared | {"method": "random-real"}, rank=len(cells))
    return (*cells, pooled)


CROSS_ARCHITECTURE = Experiment(
    name="cross-architecture",
    summary="Sets distilled on one architecture, tested on all four: CIFAR-10, beta 0.1, 10 images per class",
    cells=_cells,
    table=distilled_on,
)
