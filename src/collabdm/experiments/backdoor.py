"""A backdoor: one site of ten plants a trigger before it contributes. Does a rule, or leaving out S_k, keep it away?"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.evaluation.markdown import markdown
from collabdm.experiments.base import Cell, Experiment
from collabdm.experiments.hostile_site import with_hostile_site
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_and_spread, percent_and_spread

__all__ = ["BACKDOOR"]

ATTACKS = ("naive", "none", "optimised")
_DEFENCES = tuple((rule, local) for local in ("dm", "none") for rule in ("mean", "trimmed"))
_FEW = ((*_DEFENCES[0], "naive"), (*_DEFENCES[3], "naive"), (*_DEFENCES[0], "none"), (*_DEFENCES[0], "optimised"))


def _cells(scale: Scale) -> tuple[Cell, ...]:
    grid = tuple((rule, local, attack) for attack in ATTACKS for rule, local in _DEFENCES)
    datasets = ("fashion_mnist", "cifar10") if scale.large else ("fashion_mnist",)
    wanted = [(dataset, *one) for dataset in datasets for one in (grid if scale.whole else _FEW)]
    return tuple(
        Cell(
            name=f"{dataset}-{attack}-{rule}-{'local' if local == 'dm' else 'sums-alone'}",
            options={
                "dataset": dataset,
                "method": "collabdm",
                "ipc": scale.reduced(10),
                "partition.kind": "iid",
                "partition.clients": 10,
                "server.aggregation": rule,
                "local.method": local,
                # The hostile site's part is drawn once, before the round.
                "repeats": 1,
            },
            factors={"attack": attack},
            rank=rank,
        )
        for rank, (dataset, rule, local, attack) in enumerate(wanted)
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line a trigger: what it does to the set of a round, by attack, rule and whether there are local sets."""
    header = [
        "data set",
        "attack",
        "aggregation",
        "local sets",
        "trigger",
        "attack success, %",
        "clean accuracy, %",
        "note",
    ]
    lines = []
    for record in sorted(records, key=lambda one: one["rank"]):
        config = record["config"]
        local = "none" if config["local"]["method"] == "none" else "sent"
        shown = [record["dataset"], record["factors"]["attack"], config["server"]["aggregation"], local]
        if "failed" in record:
            lines.append([*shown, "", "", "", record["failed"]])
            continue
        for trigger, success in record["measured"]["success"].items():
            lines.append([*shown, trigger, percent_and_spread(success), accuracy_and_spread(record), record["note"]])
    return markdown(header, lines)


BACKDOOR = Experiment(
    name="backdoor",
    summary="Our own: one site of ten plants a trigger; with the mean and a trimmed mean, with local sets and without",
    cells=_cells,
    table=_table,
    simulate=with_hostile_site,
)
