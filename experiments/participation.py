"""How many clients, how many of them at each seed, how skewed, how much data: accuracy, bytes and seconds.

    python experiments/participation.py fashion_mnist --out runs/participation           (resumable)
    python experiments/participation.py fashion_mnist --out runs/participation --only 'k50-*-b0.1-*' --limit 1

K clients share a tenth or all of the training data by Dir(beta); at each of T = 50 seeds a share epsilon of them
takes part. A client's statistics at a seed do not depend on epsilon, so those of all seeds are computed once, and the
rows of its seeds taken for smaller epsilon (the same bits); seconds count that share of them. One partition and one
network a cell: differences below a point mean nothing. The corners of the grid come first. A script, because no setting
of a cell of `collabdm experiment` takes a share of the data, and none shares statistics over epsilon.
"""

import argparse
import dataclasses
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from collabdm.client import client_sums, sums_key
from collabdm.config import Config, load_config
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.engine import Engine, tune_allocator
from collabdm.planning import make_plan, resolved
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_atomically, write_json
from collabdm.storage.kept_results import KeptResults

CLIENTS, PARTICIPATION, BETAS, SHARES = (5, 10, 20, 50), (0.2, 0.5, 1.0), (0.1, 0.5), (0.1, 1.0)
BASE = [
    *("ipc=10", "partition.kind=dirichlet", "plan.seeds=50", "plan.batch=128"),
    *("local.iterations=100", "server.passes=3", "evaluate.count=1"),
]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of the grid; `share`: of the training data."""

    clients: int
    participation: float
    beta: float
    share: float

    @property
    def name(self) -> str:
        """Its file and folder."""
        return f"k{self.clients:02d}-e{self.participation:g}-b{self.beta:g}-s{self.share:g}"

    @property
    def group(self) -> str:
        """Cells with the same partition, which share statistics."""
        return f"kept-k{self.clients:02d}-b{self.beta:g}-s{self.share:g}"


def _grid() -> list[Cell]:
    """All cells: the corners in clients and participation first, those on a tenth of the data before the others."""
    product = itertools.product(CLIENTS, PARTICIPATION, BETAS, SHARES)
    cells = [Cell(clients=k, participation=e, beta=b, share=s) for k, e, b, s in product]
    return sorted(cells, key=lambda c: (c.clients in (10, 20), c.participation == 0.5, c.share, c.clients, c.beta))


def main() -> None:
    """Run the cells asked for; write the table and the plot of all finished ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/participation"))
    parser.add_argument("--only", nargs="*", default=["*"], metavar="PATTERN", help="names of cells, with * and ?")
    parser.add_argument("--limit", type=int, default=len(_grid()), help="at most so many cells that are not finished")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    asked = [cell for cell in _grid() if any(fnmatch(cell.name, pattern) for pattern in given.only)]
    left = [cell for cell in asked if not (given.out / f"{cell.name}.json").exists()][: given.limit]
    if left:
        whole = load_dataset(given.dataset)
        configs = {cell: _config(cell, given.dataset, given.settings) for cell in _grid()}
        engine = resolved(list(configs.values()), whole.preset)
        for cell in left:
            row = _run(_part(whole, cell.share), cell, configs[cell], given.out, engine)
            write_json(given.out / f"{cell.name}.json", row)
            print(json.dumps(row), flush=True)
            if all((given.out / f"{other.name}.json").exists() for other in _grid() if other.group == cell.group):
                shutil.rmtree(given.out / cell.group, ignore_errors=True)
    rows = [json.loads(path.read_text()) for cell in _grid() if (path := given.out / f"{cell.name}.json").exists()]
    write_atomically(given.out / "participation.md", _table(rows).encode())
    write_atomically(given.out / "participation.png", _picture(rows))
    print(_table(rows))


def _config(cell: Cell, dataset: str, settings: Sequence[str]) -> Config:
    options = {
        "dataset": dataset,
        "partition.clients": cell.clients,
        "partition.beta": cell.beta,
        "plan.participation": cell.participation,
    }
    return load_config(settings=[*BASE, *settings], options=options)


def _part(whole: Dataset, share: float) -> Dataset:
    return whole if share == 1 else dataclasses.replace(whole, train=whole.train.split(share, Stream(0, "share"))[1])


def _run(dataset: Dataset, cell: Cell, config: Config, out: Path, engine: Engine) -> dict[str, Any]:
    train, parts, kept = dataset.train, parts_of(config, dataset), out / cell.group
    plan = make_plan(config, clients=parts, preset=dataset.preset)
    embedding = sum(_statistics_seconds(plan, client, train.take(rows), kept, engine) for client, rows in parts.items())
    metrics = simulate_on(dataset, config, out / cell.name, engine=engine, kept=kept)
    sent = list(metrics["bytes"]["up"].values())
    return dataclasses.asdict(cell) | {
        "accuracy": metrics["accuracy"]["mean"],
        "bytes_up": sum(sent) / len(sent),
        "seconds_client": (embedding + metrics["seconds"]["local"]) / len(parts),
        "seconds_server": metrics["seconds"]["aggregate"] + metrics["seconds"]["distill"],
        "skipped": metrics["skipped"] / max(plan.seeds * len(plan.classes), 1),
        "topped_up": sum(metrics["topped_up"].values()),
    }


def _statistics_seconds(plan: Plan, client: str, samples: Samples, kept: Path, engine: Engine) -> float:
    """Leave the client's statistics where its contribution finds them; the seconds that its own seeds cost."""
    store, everyone = KeptResults(kept), plan.model_copy(update={"participation": 1.0})
    values = store.compute(
        sums_key(everyone, client, samples, engine=engine),
        lambda: {"values": client_sums(everyone, client, samples, engine=engine)},
    )["values"]
    seconds, own = store.seconds["statistics"], list(plan.assigned(client))
    store.compute(sums_key(plan, client, samples, engine=engine), lambda: {"values": values[own]})
    return seconds * len(own) / plan.seeds


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| data | beta | K | epsilon | accuracy | MB up per client | s per client | s server | (t, y) not covered |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda r: (r["share"], r["beta"], r["clients"], r["participation"])):
        lines.append(
            f"| {100 * row['share']:.0f} % | {row['beta']} | {row['clients']} | {row['participation']} "
            f"| {100 * row['accuracy']:.1f} | {row['bytes_up'] / 1e6:.2f} | {row['seconds_client']:.1f} "
            f"| {row['seconds_server']:.0f} | {100 * row['skipped']:.0f} % |"
        )
    return "\n".join(lines) + "\n"


def _picture(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Accuracy over epsilon, one line per number of clients; a panel per data share and beta."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(len(SHARES), len(BETAS), sharex=True, sharey=True, squeeze=False)
    for (i, share), (j, beta) in itertools.product(enumerate(SHARES), enumerate(BETAS)):
        axes = panels[i, j]
        for colour, clients in enumerate(CLIENTS):
            line = sorted(
                (row["participation"], 100 * row["accuracy"])
                for row in rows
                if (row["share"], row["beta"], row["clients"]) == (share, beta, clients)
            )
            if line:
                axes.plot(*np.array(line).T, marker="o", color=f"C{colour}", label=f"K = {clients}")
        axes.set_title(f"{100 * share:.0f} % of the data, beta = {beta}")
        axes.set_xlabel("participation (epsilon)")
        axes.set_ylabel("accuracy, %")
        if axes.lines:
            axes.legend(loc="lower right")
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


if __name__ == "__main__":
    main()
