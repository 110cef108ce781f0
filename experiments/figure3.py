"""The paper's Figure 3: testing accuracy against images per class, two base stations, at most 9 MB from each.

    python experiments/figure3.py IMAGES --out runs/figure3 --preset cpu

IMAGES is any data set that `collabdm flows to-images` made. Every method and number of images per class is a run of
its own; what is finished is not run again. A curve stops before the first number of images per class that some class
has fewer training windows than.
"""

import argparse
from pathlib import Path
from typing import Any

from collabdm.config import Config, load_config
from collabdm.data import Dataset, load_dataset
from collabdm.engine import tune_allocator
from collabdm.files import write_json
from collabdm.planning import resolved
from collabdm.simulation import simulate_on

IPC = (1, 5, 10, 20, 50)
METHODS = ("random-real", "collabdm-pae")
MOST_BYTES = 9_000_000
PRESETS: dict[str, list[str]] = {
    # The paper's recipe: 200 seeds, twenty networks, a thousand epochs.
    "paper": [],
    "cpu": ["evaluate.count=3", "evaluate.epochs=100"],
}


def main() -> None:
    """Run all cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/figure3"))
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--ipc", default=",".join(map(str, IPC)))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    dataset = load_dataset(given.dataset)
    counts = dict(zip(dataset.train.classes, dataset.train.counts().tolist(), strict=True))
    smallest = min(counts, key=lambda name: counts[name])
    wanted = [int(text) for text in given.ipc.split(",")]
    possible = [ipc for ipc in wanted if ipc <= counts[smallest]]
    print(f"training windows: {counts}; test windows: {len(dataset.test)}", flush=True)
    if possible != wanted:
        missing = ", ".join(str(ipc) for ipc in wanted if ipc not in possible)
        print(f"stops before {missing} images per class: {smallest} has {counts[smallest]} training windows")
    rows = []
    for method in given.methods.split(","):
        for ipc in possible:
            config = _config(given.preset, given.settings, given.dataset, method, ipc)
            rows.append(_cell(dataset, config, given.out / f"{method}-{ipc}"))
            write_json(given.out / "figure3.json", {"windows": counts, "stops_at": counts[smallest], "rows": rows})
            print(rows[-1], flush=True)
    print(_table(rows))


def _config(preset: str, settings: list[str], dataset: str, method: str, ipc: int) -> Config:
    return load_config(
        preset="paper" if preset == "paper" else "default",
        settings=[*PRESETS[preset], *settings],
        options={
            "dataset": dataset,
            "method": method,
            "ipc": ipc,
            "partition.kind": "by-column",
            "partition.column": "station",
        },
    )


def _cell(dataset: Dataset, config: Config, folder: Path) -> dict[str, Any]:
    """One point of a curve; a contribution of more than 9 MB makes it none of the paper's."""
    shape, classes = dataset.train.shape, len(dataset.train.classes)
    engine = resolved([config], dataset.preset, shape, classes)
    metrics = simulate_on(dataset, config, folder, engine=engine)
    sent = max(metrics["bytes"]["up"].values(), default=0)
    return {
        "method": config.method,
        "ipc": config.ipc,
        "accuracy": metrics["accuracy"]["mean"],
        "std": metrics["accuracy"]["std"],
        "macro_f1": metrics["accuracy"]["macro_f1"]["mean"],
        "networks": len(metrics["accuracy"]["networks"]),
        "bytes": sent,
        "within_9_mb": sent <= MOST_BYTES,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| method | images per class | accuracy, % | macro-F1, % | largest contribution, MB |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        accuracy = f"{100 * row['accuracy']:.1f} ± {100 * row['std']:.1f}"
        over = "" if row["within_9_mb"] else " (over 9)"
        sent = f"{row['bytes'] / 1e6:.1f}{over}"
        lines.append(f"| {row['method']} | {row['ipc']} | {accuracy} | {100 * row['macro_f1']:.1f} | {sent} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
