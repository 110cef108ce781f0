"""How the defaults were chosen: candidates judged on a held-out tenth of the TRAINING data, never on the test set.

    python experiments/defaults.py cifar10 --out runs/defaults            (resumable: finished candidates are skipped)

Every candidate changes a few settings of the base below; contributions are computed once and shared.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from collabdm.config import load_config
from collabdm.data import load_dataset
from collabdm.engine import tune_allocator
from collabdm.files import write_json
from collabdm.planning import resolved
from collabdm.randomness import Stream
from collabdm.simulation import simulate_on

BASE = ["ipc=10", "plan.seeds=100", "plan.batch=256", "local.iterations=400", "evaluate.count=1"]
ONE_PASS = ["server.passes=1", "server.lr=10.0", "server.schedule=constant"]
CANDIDATES: dict[str, list[str]] = {
    "one pass, lr 10": ONE_PASS,
    "one pass, lr 10, per-class steps": [*ONE_PASS, "server.step=per-class"],
    "4 passes, lr 10": ["server.passes=4", "server.lr=10.0", "server.schedule=constant"],
    "4 passes, lr 20, cosine": ["server.passes=4", "server.lr=20.0", "server.schedule=cosine"],
    "4 passes, lr 20, cosine, moments": ["server.passes=4", "plan.statistics=moments"],
    "10 passes, lr 20, cosine": ["server.passes=10", "server.lr=20.0", "server.schedule=cosine"],
}


def main() -> None:
    """Run every candidate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/defaults"))
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the candidates to run (from 0)")
    given = parser.parse_args()
    tune_allocator()
    whole = load_dataset(given.dataset, splits=("train",))
    kept, held_out = whole.train.split(0.1, Stream(0, "held-out"))
    dataset = dataclasses.replace(whole, train=kept, test=held_out)
    rows = []
    for number, (name, settings) in enumerate(CANDIDATES.items()):
        if given.only is not None and number not in given.only:
            continue
        config = load_config(settings=[*BASE, *settings], options={"dataset": given.dataset})
        engine = resolved([config], dataset.preset, kept.shape, len(kept.classes))
        metrics = simulate_on(dataset, config, given.out / f"{number}", engine=engine, stages=given.out / "stages")
        rows.append({"candidate": name, "settings": settings, **metrics["accuracy"], "seconds": metrics["seconds"]})
        write_json(given.out / "defaults.json", rows)
        print(json.dumps({name: round(metrics["accuracy"]["mean"], 4)}), flush=True)


if __name__ == "__main__":
    main()
