"""What a promise of privacy costs: sets and teachers of one masked round, by epsilon (docs/results.md).

Five clients under `dirichlet` 0.1, noise in the sum; then each site's own whole noise, and a curve over epsilon.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collabdm.classifiers.file import load_classifier
from collabdm.classifiers.teacher import TEACHER
from collabdm.classifiers.testing import fitting_classifier, tried
from collabdm.engine import EAGER
from collabdm.evaluation.markdown import markdown
from collabdm.experiments.base import Cell, Experiment, FinishedRun
from collabdm.experiments.presets import Scale
from collabdm.experiments.tables import accuracy_and_spread, megabytes_up

__all__ = ["PROMISE", "SEEDS"]

DELTA, CLIENTS = 1e-5, 5
SEEDS = 10
"""Few, as the noise of a mean grows with them; all samples take part at each."""
_DATASETS = ("cifar10", "fashion_mnist", "mnist")
_ASKED = tuple((dataset, ipc, epsilon, "sum") for ipc in (10, 50) for epsilon in (10, 1) for dataset in _DATASETS)
_BY_SITE = tuple(("mnist", 10, epsilon, "site") for epsilon in (10, 1))
_CURVE = tuple(("mnist", 10, epsilon, "sum") for epsilon in (3, 0.3))
_SMOKE = (("mnist", 10, 100, "sum"), ("mnist", 10, 100, "site"))


def _cells(scale: Scale) -> tuple[Cell, ...]:
    wanted = (*_ASKED, *_BY_SITE, *_CURVE) if scale.whole else _SMOKE
    return tuple(
        Cell(
            name=f"{dataset}-{ipc}-epsilon{epsilon:g}-{noise}",
            options={
                "dataset": dataset,
                "method": "collabdm-pae",
                "ipc": scale.reduced(ipc),
                "plan.seeds": SEEDS,
                "plan.privacy": {"epsilon": float(epsilon), "delta": DELTA, "noise": noise},
                "plan.masks": {"threshold": CLIENTS},
                "local.method": "none",
                "partition.kind": "dirichlet",
                "partition.clients": CLIENTS,
                "partition.beta": 0.1,
                # The steps that the defaults make of so few seeds, and their rate, whatever the scale's recipe is.
                "server.passes": 60 if scale.whole else 2,
                "server.lr": 20.0,
                "server.step": "joint",
                "server.weighting": "count",
            },
            rank=rank,
        )
        for rank, (dataset, ipc, epsilon, noise) in enumerate(wanted)
    )


def _measure(run: FinishedRun) -> Mapping[str, Any]:
    """The teacher's accuracy on the test samples, in [0, 1], of every repeat."""
    folders = sorted({run.folder, *run.folder.glob("repeat-*")})
    teachers = [load_classifier(path) for folder in folders if (path := folder / TEACHER).is_file()]
    return {"teacher": [tried(one, fitting_classifier(run.dataset.test, one), EAGER)["accuracy"] for one in teachers]}


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """A line a cell: the set and the teacher under each promise."""
    header = ["data set", "ipc", "epsilon", "noise", "the set, %", "the teacher, %", "MB up", "note"]
    lines = []
    for record in sorted(records, key=lambda one: (one["dataset"], one["config"]["ipc"], one["rank"])):
        promise = record["config"]["plan"]["privacy"]
        shown = [record["dataset"], str(record["config"]["ipc"]), f"{promise['epsilon']:g}", promise["noise"]]
        if "failed" in record:
            lines.append([*shown, "", "", "", record["failed"]])
            continue
        teachers = record["measured"]["teacher"]
        told = f"{100 * sum(teachers) / len(teachers):.1f}" if teachers else ""
        lines.append([*shown, accuracy_and_spread(record), told, f"{megabytes_up(record):.2f}", record["note"]])
    return markdown(header, lines)


PROMISE = Experiment(
    name="privacy",
    summary="Our own: sets and teachers under differential privacy, epsilon 10 and 1, five sites under masks",
    cells=_cells,
    table=_table,
    measure=_measure,
)
