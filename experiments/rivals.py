"""The whole table: CollabDM, its relatives and every rival under one protocol, at several skews.

    python experiments/rivals.py fashion_mnist --out runs/rivals        (resumable: finished rows are skipped)

Settings are reduced so that two cores need at most 100 minutes for Fashion-MNIST (five clients, ten images per class,
beta 0.1 and 0.5); docs/rivals.md compares them with the papers'. Methods whose data lie in one place do not depend on
the partition, and are run once. The table is written to `rivals.md`, its numbers to `rivals.json`.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collabdm.baselines import RIVALS
from collabdm.comparison import compare
from collabdm.config import load_config
from collabdm.engine import tune_allocator
from collabdm.files import write_atomically, write_json
from collabdm.methods import METHODS
from collabdm.progress import Event

BASE = ["ipc=10", "plan.seeds=50", "plan.batch=128", "local.iterations=200", "evaluate.count=2"]
POOLED = ("random-real", "random-real-pae", "central-dm-pae", "full-data")
ROUND = ("local-dm", "local-dm-pae", "collabdm", "collabdm-pae")
HEADER = "| partition | method | judged as | accuracy, % | kB down | kB up | rounds | client s | server s |\n"
HEADER += "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"


def main() -> None:
    """Run what is missing; write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/rivals"))
    parser.add_argument("--betas", type=float, nargs="+", default=[0.1, 0.5])
    parser.add_argument("--only", nargs="+", choices=METHODS, metavar="METHOD", help="these rows only")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    cells: dict[str, tuple[Sequence[str], list[str]]] = {"pooled": (POOLED, [])}
    cells |= {f"beta-{beta:g}": ((*ROUND, *RIVALS), [f"partition.beta={beta}"]) for beta in given.betas}
    rows: list[dict[str, Any]] = []
    for name, (methods, settings) in cells.items():
        chosen = [method for method in methods if given.only is None or method in given.only]
        if not chosen:
            continue
        started = time.perf_counter()
        config = load_config(settings=[*BASE, *settings, *given.settings], options={"dataset": given.dataset})
        rows += compare(config, chosen, given.out / name, report=_told)
        write_json(given.out / "rivals.json", {"settings": [*BASE, *given.settings], "rows": rows})
        _add_seconds(given.out / "seconds.json", name, time.perf_counter() - started)
    seconds = json.loads((given.out / "seconds.json").read_text())
    text = HEADER + "".join(map(_line, rows)) + f"\n{sum(seconds.values()) / 60:.0f} minutes in all.\n" + _floor(rows)
    write_atomically(given.out / "rivals.md", text.encode())
    print(text)


def _line(row: Mapping[str, Any]) -> str:
    judged = f"{row['product']}: {', '.join(row['networks'])}"
    accuracy = f"{100 * row['accuracy_mean']:.1f} ± {100 * row['accuracy_std']:.1f}"
    sent = f"{row['bytes_down'] / 1000:.1f} | {row['bytes_up'] / 1000:.1f} | {row['rounds']}"
    spent = f"{row['client_seconds']:.0f} | {row['server_seconds']:.0f}"
    return f"| {row['partition']} | `{row['method']}` | {judged} | {accuracy} | {sent} | {spent} |\n"


def _floor(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows that do not beat one-shot FedAvg on their partition, so that nobody overlooks them."""
    floors = {row["partition"]: row["accuracy_mean"] for row in rows if row["method"] == "fedavg"}
    below = [
        f"{row['method']} ({row['partition']})"
        for row in rows
        if row["method"] != "fedavg" and row["accuracy_mean"] <= floors.get(row["partition"], 0.0)
    ]
    return f"\nNot above one-shot FedAvg: {', '.join(below) or 'none'}.\n"


def _add_seconds(path: Path, name: str, spent: float) -> None:
    """A table that was interrupted took what all its parts took."""
    seconds = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, seconds | {name: seconds.get(name, 0.0) + spent})


def _told(event: Event) -> None:
    if event.stage == "compare":
        print(f"{time.strftime('%H:%M')} {event.done + 1} of {event.total}: {event.message}", flush=True)


if __name__ == "__main__":
    main()
