"""What a skewed split costs: the same data shared evenly, and by sites of which one holds most of each class.

    python experiments/skew.py fashion_mnist --home 5 --out runs/skew
    python experiments/skew.py UNSW-IMAGES --source UNSW_NB15_training-set.csv --group proto --out runs/skew-flows

`--home K` makes sites up: a sample of class y is at site y mod K with a chance of `--share`, else at any other site.
`--group COLUMN` takes the value of that column in the row of the CSV file that an image of one flow was made of
(`first_line`); values below `--least` of all are put together as `other`. `--column` takes a column of the data.

Both splits have as many sites, and the same samples, settings and networks' seeds. Every draw takes other samples,
partitions, encoders and networks. Resumable: finished cells are skipped.
"""

import argparse
import csv
import dataclasses
import gzip
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from collabdm.config import Config, load_config
from collabdm.data import Dataset, load_dataset, partition_table
from collabdm.engine import tune_allocator
from collabdm.planning import resolved
from collabdm.randomness import Stream
from collabdm.simulation.sharing import parts_of
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_json

SITE = "site"
BASE = [
    *("plan.seeds=50", "plan.batch=128", "local.iterations=100", "evaluate.protocol=fast", "evaluate.count=3"),
    'plan.network={name = "convnet", width = 32}',
]


def main() -> None:
    """Run all cells and print the table."""
    given = _arguments()
    tune_allocator()
    whole, rows = load_dataset(given.dataset), []
    whole = dataclasses.replace(whole, columns={SITE: _sites(whole, given)})
    for ipc in given.ipc:
        for draw in range(given.draws):
            dataset = _part(whole, draw, given.train, given.test)
            base = load_config(
                settings=[*BASE, *given.settings], options={"dataset": given.dataset, "seed": draw, "ipc": ipc}
            )
            found = {
                kind: _cell(dataset, _shared(base, dataset, kind), given.out / f"{kind}-ipc{ipc}-{draw}")
                for kind in ("iid", "by-column")
            }
            rows.append({"ipc": ipc, "draw": draw, **found})
            print(_line(rows[-1]), flush=True)
    write_json(given.out / "skew.json", rows)
    print(_table(rows, given.ipc))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    sites = parser.add_mutually_exclusive_group(required=True)
    sites.add_argument("--home", type=int, metavar="K", help="make up K sites")
    sites.add_argument("--group", metavar="COLUMN", help="a column of the CSV file --source")
    sites.add_argument("--column", help="a column of the data")
    parser.add_argument("--share", type=float, default=0.9, help="of a class at its home")
    parser.add_argument("--source", type=Path, metavar="CSV", help="with --group: what the images were made of")
    parser.add_argument("--least", type=float, default=0.05, help="with --group: rarer values are one site")
    parser.add_argument("--ipc", type=int, nargs="*", default=[5, 10])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--train", type=int, default=10_000, help="training samples of a draw, at most")
    parser.add_argument("--test", type=int, default=3_000, help="test samples of a draw, at most")
    parser.add_argument("--out", type=Path, default=Path("runs/skew"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    if (given.group is None) != (given.source is None):
        parser.error("--group and --source go together")
    return given


def _sites(whole: Dataset, given: argparse.Namespace) -> np.ndarray:
    """The site of each training sample."""
    if given.column:
        return whole.columns[given.column]
    if given.home:
        stream, home = Stream(0, "home"), whole.train.labels % given.home
        away = stream.uniform(len(home)) >= given.share
        other = (home + 1 + np.floor(stream.uniform(len(home)) * (given.home - 1)).astype(np.int64)) % given.home
        return np.array([f"site-{k}" for k in range(given.home)])[np.where(away, other, home)]
    with (gzip.open if given.source.suffix == ".gz" else open)(given.source, "rt", newline="") as file:
        values = np.array([row[given.group] for row in csv.DictReader(file)])
    # The file's first line names the columns.
    found = values[whole.columns["first_line"].astype(np.int64) - 2]
    names, counts = np.unique(found, return_counts=True)
    return np.where(np.isin(found, names[counts >= given.least * len(found)]), found, "other")


def _part(whole: Dataset, draw: int, train: int, test: int) -> Dataset:
    """At most so many samples of each split, drawn."""
    chosen = np.sort(Stream(draw, "train").choose(len(whole.train), train))
    tested = np.sort(Stream(draw, "test").choose(len(whole.test), test))
    columns = {SITE: whole.columns[SITE][chosen]}
    return dataclasses.replace(whole, train=whole.train.take(chosen), test=whole.test.take(tested), columns=columns)


def _shared(base: Config, dataset: Dataset, kind: str) -> Config:
    sites = len(np.unique(dataset.columns[SITE]))
    settings = [f"partition.kind={kind}", f"partition.clients={sites}"]
    changes = {"column": SITE} if kind == "by-column" else {}
    partition = load_config(settings=settings, options={f"partition.{k}": v for k, v in changes.items()}).partition
    return base.model_copy(update={"partition": partition})


def _cell(dataset: Dataset, config: Config, folder: Path) -> dict[str, Any]:
    metrics = simulate_on(dataset, config, folder, engine=resolved([config], dataset.preset))
    table = partition_table(dataset.train, parts_of(config, dataset))
    return {
        "accuracy": metrics["accuracy"]["mean"],
        "macro_f1": metrics["accuracy"]["macro_f1"]["mean"],
        # Of the samples, those at the site that has most of their class.
        "at_home": float(table.max(axis=0).sum() / table.sum()),
        "taken": metrics["taken"],
    }


def _line(row: Mapping[str, Any]) -> str:
    said = [f"{kind} {100 * row[kind]['accuracy']:.1f} {row[kind]['taken']}" for kind in ("iid", "by-column")]
    return f"ipc {row['ipc']}, draw {row['draw']}: {', '.join(said)}"


def _table(rows: list[dict[str, Any]], sizes: list[int]) -> str:
    lines = ["| ipc | at the home site | iid | by site | difference |", "| --- | --- | --- | --- | --- |"]
    for ipc in sizes:
        here = [row for row in rows if row["ipc"] == ipc]
        even, skewed = ([row[kind]["accuracy"] for row in here] for kind in ("iid", "by-column"))
        difference = _spread([b - a for a, b in zip(even, skewed, strict=True)], sign="+")
        home = statistics.fmean(row["by-column"]["at_home"] for row in here)
        lines.append(f"| {ipc} | {home:.0%} | {_spread(even)} | {_spread(skewed)} | {difference} |")
    return "\n".join(lines)


def _spread(values: list[float], sign: str = "") -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):{sign}.1f} ± {100 * error:.1f}"


if __name__ == "__main__":
    main()
