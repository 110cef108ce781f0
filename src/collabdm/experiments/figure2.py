"""The paper's Figure 2: accuracy against bytes sent, for few and many clients and few and many images, IID.

Sets are judged every 50 of 200 seeds in one pass, so that a point needs the statistics of its seeds only. The dashed
line is partition and expand on all data in one place. The paper's text gives four points of the curves.
"""

from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale

__all__ = ["FIGURE2"]

SEEDS, EVERY = 200, 50
SOURCE = "section 5.2, on Figure 2"
# By (clients, images per class): where the paper's curve ends, and points (MB, accuracy in percent) on the way.
_ENDS = {(5, 10): 59.0, (20, 10): 53.0}
_ANCHORS = {(5, 10): ((4.3, 57.0),), (5, 50): ((3.27, 65.0),)}


def _cells(scale: Scale) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for ipc, clients in ((10, 5), (10, 20), (50, 5), (50, 20)) if scale.whole else ((10, 5),):
        for method in ("collabdm-pae", "collabdm"):
            pae = method == "collabdm-pae"
            paper = _ENDS.get((clients, ipc)) if pae else None
            anchors = _ANCHORS.get((clients, ipc), ()) if pae else ()
            shared = {"partition.clients": clients, "server.evaluate_every": EVERY if scale.whole else 5}
            cells.append(
                Cell(
                    name=f"ipc{ipc}-clients{clients}-{method}",
                    options=_options(scale, method, ipc) | shared,
                    rank=len(cells),
                    paper=paper,
                    paper_source=SOURCE if paper is not None or anchors else "",
                    anchors=anchors,
                    note="; ".join(f"the paper: {accuracy:g} % at {mb:g} MB" for mb, accuracy in anchors),
                )
            )
        name = f"ipc{ipc}-central-dm-pae"
        if name not in {cell.name for cell in cells}:
            cells.append(Cell(name=name, options=_options(scale, "central-dm-pae", ipc), rank=len(cells)))
    return tuple(cells)


def _options(scale: Scale, method: str, ipc: int) -> dict[str, object]:
    seeds = {"plan.seeds": SEEDS} if scale.whole else {}
    always = {"dataset": "cifar10", "partition.kind": "iid", "server.passes": 1}
    return always | seeds | {"method": method, "ipc": scale.reduced(ipc)}


FIGURE2 = Experiment(
    name="figure2",
    summary="Figure 2: accuracy against bytes on CIFAR-10, IID, 5 and 20 clients, 10 and 50 images per class",
    cells=_cells,
)
