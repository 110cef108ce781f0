"""How a network trained on pure windows does on mixed ones, and what leaking columns are worth.

    python experiments/mixed_windows.py flows.csv --schema unsw-nb15 --out runs/mixed

A live window is mixed: it has flows of several types. Four data sets are made of one file (pure and time windows, with
and without leaking columns), all with the same flows for testing. Networks are trained on all training windows of one
kind, and tested on the test windows of both. Resumable.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from collabdm.config import load_config
from collabdm.data import Dataset, load_dataset
from collabdm.data.flows.dataset import images_of, save_images
from collabdm.data.flows.images import ImageSettings
from collabdm.data.flows.schema import load_schema
from collabdm.engine import tune_allocator
from collabdm.files import write_json
from collabdm.planning import resolved
from collabdm.simulation import simulate_on

KINDS = ("pure", "time")


def main() -> None:
    """Run all cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flows", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--side", type=int)
    parser.add_argument("--flows-per-image", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/mixed"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    rows = []
    for leaking in (False, True):
        data = {kind: _images(given, kind, leaking) for kind in KINDS}
        for trained in KINDS:
            for tested in KINDS:
                path = given.out / "cells" / f"{trained}-{tested}-{'leaking' if leaking else 'clean'}.json"
                if not path.exists():
                    write_json(path, _cell(data[trained], data[tested], given, trained, tested, leaking))
                rows.append(json.loads(path.read_text()))
                print(rows[-1], flush=True)
    write_json(given.out / "mixed.json", rows)
    print(_table(rows))


def _images(given: argparse.Namespace, kind: str, leaking: bool) -> Dataset:
    folder = given.out / f"{kind}-{'leaking' if leaking else 'clean'}"
    if not folder.exists():
        schema = load_schema(given.schema)
        settings = ImageSettings.model_validate(
            {
                "flow_schema": schema,
                "side": given.side or schema.side,
                "flows_per_image": given.flows_per_image or schema.flows_per_image,
                "window": kind,
                "keep_leaking": leaking,
            }
        )
        save_images(images_of(given.flows, settings, test_share=0.2), folder, source={"file": given.flows.name})
    return load_dataset(str(folder))


def _cell(
    training: Dataset, test: Dataset, given: argparse.Namespace, trained: str, tested: str, leaking: bool
) -> dict[str, Any]:
    options = {"dataset": training.name, "method": "full-data"}
    config = load_config(settings=given.settings, options=options)
    engine = resolved([config], training.preset, training.train.shape, len(training.train.classes))
    name = f"{trained}-{tested}-{'leaking' if leaking else 'clean'}"
    metrics = simulate_on(replace(training, test=test.test), config, given.out / "runs" / name, engine=engine)
    accuracy = metrics["accuracy"]
    return {
        "trained": trained,
        "tested": tested,
        "leaking": leaking,
        "accuracy": accuracy["mean"],
        "std": accuracy["std"],
        "macro_f1": accuracy["macro_f1"]["mean"],
        "per_class": accuracy["per_class"],
        "networks": len(accuracy["networks"]),
        "train_windows": training.train.counts().tolist(),
        "test_windows": test.test.counts().tolist(),
        "most_frequent": statistics.fmean(test.test.labels == test.test.counts().argmax()),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| trained on | tested on | leaking columns | accuracy, % | macro-F1, % |", "|---|---|---|---|---|"]
    for row in rows:
        accuracy = f"{100 * row['accuracy']:.1f} ± {100 * row['std']:.1f}"
        leaking = "kept" if row["leaking"] else "out"
        lines.append(f"| {row['trained']} | {row['tested']} | {leaking} | {accuracy} | {100 * row['macro_f1']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
