"""How the defaults were chosen: candidates judged on a held-out tenth of the TRAINING data, never on the test set.

    python experiments/defaults.py cifar10 --out runs/defaults            (resumable: finished candidates are skipped)

Every candidate changes a few settings of the base below; contributions are computed once and shared. A script, because
a cell of `collabdm experiment` is judged on the test set.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from collabdm.config import load_config
from collabdm.data import load_dataset
from collabdm.engine import tune_allocator
from collabdm.planning import resolved
from collabdm.randomness import Stream
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_json

BASE = ["ipc=10", "plan.seeds=100", "plan.batch=256", "local.iterations=400", "evaluate.count=1"]
SERVER = ["server.schedule=cosine", "server.step=joint", "plan.statistics=mean"]
# Rounds with the additive teacher: fewer seeds, in six bits, where all clients have images of every class.
TEACHER = [
    "plan.seeds=50",
    "local.iterations=300",
    "server.passes=5",
    "evaluate.count=2",
    "plan.encoding=int6",
    "partition.kind=dirichlet-reserved",
    "partition.beta=0.1",
    'plan.features={name="patches",width=212}',
    'plan.statistics=["mean","gram"]',
]
CANDIDATES: dict[str, list[str]] = {
    "local-only": ["method=local-dm-pae"],
    "5-passes-lr-20": ["server.passes=5", "server.lr=20.0", *SERVER],
    "5-passes-lr-5": ["server.passes=5", "server.lr=5.0", *SERVER],
    "5-passes-lr-20-moments": ["server.passes=5", "server.lr=20.0", *SERVER, "plan.statistics=moments"],
    "5-passes-lr-5-moments": ["server.passes=5", "server.lr=5.0", *SERVER, "plan.statistics=moments"],
    "1-pass-lr-10": ["server.passes=1", "server.lr=10.0", *SERVER, "server.schedule=constant"],
    "1-pass-lr-10-per-class": [
        "server.passes=1",
        "server.lr=10.0",
        *SERVER,
        "server.schedule=constant",
        "server.step=per-class",
    ],
    "20-passes-lr-20": ["server.passes=20", "server.lr=20.0", *SERVER],
    "teacher": TEACHER,
    "teacher-nine-tiles": [*TEACHER, "plan.tiles=3"],
    "teacher-moments": [*TEACHER, 'plan.statistics=["moments","gram"]'],
    "central": ["method=central-dm-pae", "server.passes=5", "server.lr=20.0", *SERVER],
}


def main() -> None:
    """Run every candidate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/defaults"))
    parser.add_argument("--only", nargs="*", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    given = parser.parse_args()
    tune_allocator()
    whole = load_dataset(given.dataset, splits=("train",))
    kept, held_out = whole.train.split(0.1, Stream(0, "held-out"))
    dataset = dataclasses.replace(whole, train=kept, test=held_out)
    for name in given.only:
        config = load_config(settings=[*BASE, *CANDIDATES[name]], options={"dataset": given.dataset})
        engine = resolved([config], dataset.preset)
        metrics = simulate_on(dataset, config, given.out / name, engine=engine, kept=given.out / "kept")
        accuracy = metrics["accuracy"]
        networks = [network["accuracy"] for network in accuracy["networks"]]
        row = {"settings": CANDIDATES[name], "accuracy": accuracy["mean"], "networks": networks}
        table = given.out / "defaults.json"
        rows = json.loads(table.read_text()) if table.exists() else {}
        write_json(table, rows | {name: row})
        print(json.dumps({name: row}), flush=True)


if __name__ == "__main__":
    main()
