"""MNIST shared evenly among five clients: the plainest case, at 1, 10 and 50 images per class."""

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale

__all__ = ["MNIST_IID"]

METHODS = ("collabdm-pae", "collabdm", "local-dm", "random-real", "central-dm-pae")


def _cells(scale: Scale) -> tuple[Cell, ...]:
    wanted = [(ipc, method) for ipc in ((10, 50, 1) if scale.whole else (10,)) for method in METHODS]
    return tuple(
        Cell(
            name=f"ipc{ipc}-{method}",
            options={"dataset": "mnist", "method": method, "ipc": scale.reduced(ipc), "partition.kind": "iid"},
            rank=rank,
        )
        for rank, (ipc, method) in enumerate(wanted)
    )


MNIST_IID = Experiment(
    name="mnist-iid",
    summary="MNIST, IID, five clients: CollabDM and its relatives at 1, 10 and 50 images per class",
    cells=_cells,
)
