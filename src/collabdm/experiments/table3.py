"""The paper's Table 3: sets of flows distilled on one architecture (rows), networks of another trained on them.

Ten images per class of at least 32 pixels a side (VGG11 needs them), a client per base station. Beside the paper's
`collabdm-pae` stands `collabdm`: tiles mix the columns of flows.
"""

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.cross_architecture import architectures_at, distilled_on
from collabdm.experiments.figure3 import BY_STATION
from collabdm.experiments.presets import Scale

__all__ = ["TABLE3"]

# Rows of the paper's table on 5G-NIDD; columns as in `ARCHITECTURES`.
_PAPER = {
    "convnet": "98.84, 96.49, 97.60, 98.18",
    "alexnet": "96.55, 94.21, 94.19, 95.87",
    "resnet18": "95.71, 93.22, 94.16, 95.05",
    "vgg11": "89.95, 86.31, 91.30, 89.33",
}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    networks = architectures_at(scale)
    shared = BY_STATION | {"ipc": scale.reduced(10), "evaluate.networks": networks}
    cells: list[Cell] = []
    for network in networks:
        note = f"the paper, on 5G-NIDD, tested on convnet, alexnet, resnet18 and vgg11: {_PAPER[network]} %"
        options = shared | {"plan.network": network}
        whole = options | {"method": "collabdm"}
        cells.append(Cell(name=network, options=options | {"method": "collabdm-pae"}, rank=len(cells), note=note))
        cells.append(Cell(name=f"{network}-collabdm", options=whole, rank=len(cells)))
    return tuple(cells)


TABLE3 = Experiment(
    name="table3",
    summary="Table 3: sets of flows distilled on one architecture, tested on all four (--data images=FOLDER)",
    cells=_cells,
    table=distilled_on,
)
