"""What many rounds cost: accuracy against bytes of the strawman of section 4.1, beside CollabDM's.

    python experiments/strawman.py fashion_mnist --out runs/strawman

The strawmen are judged on the way; CollabDM is run with different numbers of seeds. All start from local sets of the
same method, and share partition, networks and evaluation. Resumable: finished runs, and rounds, are found again.
"""

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collabdm.config import Config, load_config
from collabdm.data import load_dataset
from collabdm.engine import tune_allocator
from collabdm.methods import METHODS
from collabdm.planning import resolved
from collabdm.report.pictures import CurveLine, curves_picture
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_atomically, write_json

BASE = ["ipc=10", "plan.batch=128", "local.iterations=200", "evaluate.count=2"]
SEEDS = (5, 20, 50)
STRAWMEN = ("strawman-gradient", "strawman-meta")


def main() -> None:
    """Run every cell, write `strawman.json` and `strawman.png`, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/strawman"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="numbers of CollabDM's seeds")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    dataset = load_dataset(given.dataset)
    most = max(given.seeds)
    cells = {name: _config(given, name, most) for name in STRAWMEN}
    cells |= {f"local-dm-{most}": _config(given, "local-dm", most)}
    cells |= {f"collabdm-{seeds}": _config(given, "collabdm", seeds) for seeds in given.seeds}
    shape, classes = dataset.train.shape, len(dataset.train.classes)
    engine = resolved(list(cells.values()), dataset.preset, shape, classes)
    points: dict[str, list[dict[str, float]]] = {}
    for cell, config in cells.items():
        metrics = simulate_on(dataset, config, given.out / cell, engine=engine, kept=given.out / "kept")
        points.setdefault(config.method, []).extend(_points(metrics))
        write_json(given.out / "strawman.json", {"settings": [*BASE, *given.settings], "points": points})
        print(cell, points[config.method][-1], flush=True)
    # CollabDM without a seed is the union of the local sets.
    points["collabdm"] = points.pop("local-dm") + points["collabdm"]
    lines = [
        CurveLine(
            name=method,
            x=[point["bytes"] for point in of_method],
            y=[point["mean"] for point in of_method],
            spread=[point["std"] for point in of_method],
        )
        for method, of_method in points.items()
    ]
    label = "bytes per client, down and up"
    write_atomically(given.out / "strawman.png", curves_picture(lines, x_label=label, title="What many rounds cost"))
    print("\n| method | rounds | MB per client | accuracy |\n| --- | --- | --- | --- |")
    for method, of_method in points.items():
        for point in of_method:
            accuracy = f"{100 * point['mean']:.1f} +- {100 * point['std']:.1f}"
            print(f"| {method} | {point['rounds']:.0f} | {point['bytes'] / 1e6:.2f} | {accuracy} |")


def _config(given: argparse.Namespace, method: str, seeds: int) -> Config:
    assert method in METHODS
    options = {"dataset": given.dataset, "method": method, "plan.seeds": seeds}
    return load_config(settings=[*BASE, *given.settings], options=options)


def _points(metrics: Mapping[str, Any]) -> list[dict[str, float]]:
    """Rounds, bytes (mean over clients) and accuracy on the way (strawmen) and at the end."""
    total = statistics.fmean(metrics["bytes"]["down"].values()) + statistics.fmean(metrics["bytes"]["up"].values())
    last = {"rounds": metrics["rounds"], "bytes": total} | _accuracy(metrics["accuracy"])
    way = metrics.get("curve", [])
    return [
        {"rounds": point["rounds"], "bytes": point["bytes_down"] + point["bytes_up"]} | _accuracy(point)
        for point in way
        if "bytes_up" in point
    ] + [last]


def _accuracy(summary: Mapping[str, Any]) -> dict[str, float]:
    return {"mean": summary["mean"], "std": summary["std"]}


if __name__ == "__main__":
    main()
