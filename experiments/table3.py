"""The paper's Table 3: sets distilled on one architecture (rows), networks of another trained on them (columns).

    python experiments/table3.py IMAGES --out runs/table3 --preset cpu

IMAGES is any data set that `collabdm flows to-images` made, of 32 pixels a side at least (VGG11 needs them). Ten images
per class, two base stations. Each row is a run that goes on after its last finished network; each finished cell is a
JSON file.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from collabdm.config import load_config
from collabdm.data import Dataset, load_dataset
from collabdm.engine import tune_allocator
from collabdm.files import write_json
from collabdm.planning import resolved
from collabdm.simulation import simulate_on

NETWORKS = ("convnet", "alexnet", "vgg11", "resnet18")
PRESETS: dict[str, list[str]] = {
    # The paper's recipe: 200 seeds, twenty networks, a thousand epochs.
    "paper": [],
    # One network for a hundred epochs, on 32x32 images.
    "cpu": ["evaluate.count=1", "evaluate.epochs=100"],
}


def main() -> None:
    """Run all rows and print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/table3"))
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--method", choices=("collabdm-pae", "collabdm"), default="collabdm-pae")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="the rows to run")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    dataset = load_dataset(given.dataset)
    counts = dict(zip(dataset.train.classes, dataset.train.counts().tolist(), strict=True))
    print(f"training windows: {counts}; test windows: {len(dataset.test)}", flush=True)
    settings = [*PRESETS[given.preset], *given.settings]
    base = "paper" if given.preset == "paper" else "default"
    for network in given.networks.split(","):
        for cell in _row(dataset, given, network, base, settings):
            print(cell, flush=True)
    cells = [json.loads(path.read_text()) for path in sorted((given.out / "cells").glob("*.json"))]
    write_json(
        given.out / "table3.json", {"windows": counts, "method": given.method, "settings": settings, "cells": cells}
    )
    print(_table(cells))


def _row(
    dataset: Dataset, given: argparse.Namespace, network: str, base: str, settings: list[str]
) -> list[dict[str, Any]]:
    out: Path = given.out
    paths = {tested: out / "cells" / f"{network}-{tested}.json" for tested in NETWORKS}
    if all(path.exists() for path in paths.values()):
        return [json.loads(path.read_text()) for path in paths.values()]
    config = load_config(
        preset=base,
        settings=settings,
        options={
            "dataset": given.dataset,
            "method": given.method,
            "ipc": 10,
            "partition.kind": "by-column",
            "partition.column": "station",
            "plan.network": network,
            "evaluate.networks": NETWORKS,
        },
    )
    engine = resolved([config], dataset.preset, dataset.train.shape, len(dataset.train.classes))
    metrics = simulate_on(dataset, config, out / network, engine=engine)
    cells = []
    for tested, path in paths.items():
        found = [one for one in metrics["accuracy"]["networks"] if one["network"] == tested]
        cell = {
            "distilled_on": network,
            "tested_on": tested,
            "accuracy": statistics.fmean(one["accuracy"] for one in found),
            "macro_f1": statistics.fmean(one["macro_f1"] for one in found),
            "networks": len(found),
            "bytes": max(metrics["bytes"]["up"].values()),
        }
        write_json(path, cell)
        cells.append(cell)
    return cells


def _table(cells: list[dict[str, Any]]) -> str:
    """Accuracy (macro-F1), in percent; a cell that has not been run is empty."""
    found = {(cell["distilled_on"], cell["tested_on"]): cell for cell in cells}

    def shown(row: str, column: str) -> str:
        cell = found.get((row, column))
        return f"{100 * cell['accuracy']:.1f} ({100 * cell['macro_f1']:.1f})" if cell else ""

    lines = [f"| distilled on | {' | '.join(NETWORKS)} |", "|---" * (len(NETWORKS) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(shown(row, column) for column in NETWORKS)} |" for row in NETWORKS]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
