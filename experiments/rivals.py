"""The whole table: CollabDM, its relatives and every rival under one protocol, at several skews.

    python experiments/rivals.py fashion_mnist --out runs/rivals        (resumable: finished rows are skipped)

Settings are reduced to bring Fashion-MNIST (five clients, ten images per class, beta 0.1 and 0.5) under 100 minutes on
two cores; docs/rivals.md compares them with the papers', and says what was timed. Methods whose data lie in one place
do not depend on the partition, and are run once, on all cores; then the partitions run beside each other, on a part of
the cores each: much of the rivals' work hardly gains from a second thread. Sets are judged on two networks; all data,
and the rivals that are the clients' models or learn from them, once. The table is written to `rivals.md`, its numbers
to `rivals.json`. A script, because it runs partitions beside each other: cells of `collabdm experiment`, where `table2`
is the paper's table of rivals, run one after the other.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from collabdm.config import load_config
from collabdm.engine import tune_allocator
from collabdm.methods import METHODS
from collabdm.progress import Event
from collabdm.simulation.comparison import compare
from collabdm.storage.files import write_atomically, write_json

BASE = ["ipc=10", "plan.seeds=50", "plan.batch=128", "local.iterations=200", "evaluate.count=2"]
# Sets on the way belong to `collabdm experiment run strawman`; judging them took a third of the strawmen's time.
BASE += ["rivals.strawman_gradient.points=0", "rivals.strawman_meta.points=0"]
# A second network on all data takes nine minutes of two cores, a second repetition of DENSE and Co-Boosting eleven.
ONCE = ["evaluate.count=1"]
POOLED = ("random-real", "random-real-pae", "central-dm-pae")
ROUND = ("local-dm", "local-dm-pae", "collabdm", "collabdm-pae")
# In one part, since they share the clients' models.
MODELS = ("fedavg", "ensemble", "dense", "co-boosting")
HEADER = "| partition | method | judged as | accuracy, % | kB down | kB up | rounds | client s | server s |\n"
HEADER += "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Rows of one partition: its folder's name, methods, data set and settings (`key=value`)."""

    name: str
    methods: Sequence[str]
    dataset: str
    settings: Sequence[str]


def main() -> None:
    """Run what is missing; write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/rivals"))
    parser.add_argument("--betas", type=float, nargs="+", default=[0.1, 0.5])
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD", help="rows")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    base, once = [*BASE, *given.settings], [*BASE, *ONCE, *given.settings]
    pooled = [Part("pooled", POOLED, given.dataset, base), Part("pooled-once", ("full-data",), given.dataset, once)]
    sets = (*ROUND, *(name for name, method in METHODS.items() if method.source == "rival" and name not in MODELS))
    skewed = [
        Part(f"beta-{beta:g}{name}", methods, given.dataset, [*settings, f"partition.beta={beta}"])
        for name, methods, settings in (("", sets, base), ("-models", MODELS, once))
        for beta in given.betas
    ]
    started, there = time.perf_counter(), len(list(given.out.glob("*/*/metrics.json")))
    rows: list[Row] = []
    for found in _results(pooled, skewed, partial(_rows, out=given.out, only=given.only)):
        rows += found
        rows.sort(key=lambda row: (row["partition"] != "pooled", row["partition"]))
        write_json(given.out / "rivals.json", {"settings": base, "settings_once": once, "rows": rows})
    minutes = (time.perf_counter() - started) / 60
    spent = f"\n{minutes:.0f} minutes on {torch.get_num_threads()} cores; {there} rows had been finished before.\n"
    text = HEADER + "".join(map(_line, rows)) + spent + _floor(rows)
    write_atomically(given.out / "rivals.md", text.encode())
    print(text)


def _results(pooled: Sequence[Part], skewed: Sequence[Part], run: Callable[[Part], list[Row]]) -> Iterator[list[Row]]:
    """The rows of each part, in order: the first on all cores, then the others beside each other."""
    yield from map(run, pooled)
    cores = torch.get_num_threads()
    jobs = min(len(skewed), cores)
    if jobs < 2:
        yield from map(run, skewed)
        return
    # Read when a process first loads torch, so it is set here and not in the process.
    os.environ["OMP_NUM_THREADS"] = str(cores // jobs)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, skewed)


def _rows(part: Part, *, out: Path, only: Sequence[str]) -> list[Row]:
    methods = [method for method in part.methods if method in only]
    if not methods:
        return []
    tune_allocator()
    config = load_config(settings=part.settings, options={"dataset": part.dataset})
    return compare(config, methods, out / part.name, report=partial(_told, part.name))


def _line(row: Row) -> str:
    judged = f"{row['product']}: {', '.join(row['networks'])}"
    accuracy = f"{100 * row['accuracy_mean']:.1f}"
    # Zero is one network or repetition, or a model that nothing random is left in.
    accuracy += f" ± {100 * row['accuracy_std']:.1f}" if row["accuracy_std"] else ""
    sent = f"{row['bytes_down'] / 1000:.1f} | {row['bytes_up'] / 1000:.1f} | {row['rounds']}"
    spent = f"{row['client_seconds']:.0f} | {row['server_seconds']:.0f}"
    return f"| {row['partition']} | `{row['method']}` | {judged} | {accuracy} | {sent} | {spent} |\n"


def _floor(rows: Sequence[Row]) -> str:
    """The rows that do not beat one-shot FedAvg on their partition, so that nobody overlooks them."""
    floors = {row["partition"]: row["accuracy_mean"] for row in rows if row["method"] == "fedavg"}
    below = [
        f"{row['method']} ({row['partition']})"
        for row in rows
        if row["method"] != "fedavg" and row["accuracy_mean"] <= floors.get(row["partition"], 0.0)
    ]
    return f"\nNot above one-shot FedAvg: {', '.join(below) or 'none'}.\n"


def _told(part: str, event: Event) -> None:
    if event.stage == "compare":
        print(f"{time.strftime('%H:%M')} {part}, {event.done + 1} of {event.total}: {event.message}", flush=True)


if __name__ == "__main__":
    main()
