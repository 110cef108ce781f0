"""Sharing a set: what a third party gains from its 8-bit images, alone and beside ten images a class of its own.

Its network is another than the encoder that made the set, and it is tested on shifted images too (`third_party`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.evaluation.markdown import markdown
from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import percent_and_spread
from collabdm.experiments.third_party import SHIFTS, TRAINED_ON, gains

__all__ = ["SHARING"]

DATASETS = ("fashion_mnist", "cifar10")
# The third party's network, which is not the encoder: other norm, activation, pooling, depth and width. AlexNet takes
# twenty times as long.
_LARGE: Any = "alexnet"
_OTHER = {"name": "convnet", "depth": 2, "norm": "group", "activation": "leaky-relu", "pooling": "max"}
# What is shared; real images are what nobody may share, and the bar.
METHODS = ("collabdm-pae", "local-dm-pae", "random-real-pae")


def _cells(scale: Scale) -> tuple[Cell, ...]:
    datasets = DATASETS if scale.whole else DATASETS[:1]
    third = _LARGE if scale.large else _OTHER | {"width": 64 if scale.whole else 16}
    return tuple(
        Cell(
            name=f"{dataset}-{method}",
            options={
                "dataset": dataset,
                "method": method,
                "ipc": scale.reduced(10),
                "partition.beta": 0.1,
                "evaluate.networks": (third,),
            },
            rank=rank,
        )
        for rank, (method, dataset) in enumerate((m, d) for m in METHODS for d in datasets)
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """Lines of each cell by what the third party trains on; a column for each test set."""
    header = ["data set", "shared", "network", "trained on", "images", *SHIFTS, "note"]
    lines = []
    for record in sorted(records, key=lambda one: (one["dataset"], one["rank"])):
        shown = [record["dataset"], record["config"]["method"]]
        if "failed" in record:
            lines.append([*shown, "", "", "", *([""] * len(SHIFTS)), record["failed"]])
            continue
        sizes, accuracy = record["measured"]["images"], record["measured"]["accuracy"]
        sizes = sizes | {"both": sizes["own"] + sizes["set"]}
        for part, told in TRAINED_ON.items():
            right = [percent_and_spread(accuracy[part][shift]) for shift in SHIFTS]
            lines.append(
                [*shown, record["measured"]["network"]["name"], told, str(sizes[part]), *right, record["note"]]
            )
    return markdown(header, lines)


SHARING = Experiment(
    name="sharing",
    summary="Our own: what a third party gains from a set, alone and beside ten images a class of its own",
    cells=_cells,
    table=_table,
    measure=gains,
)
