"""Does the fast engine cost accuracy? Compiled bfloat16 against eager float32, on the same seeds and networks.

    python experiments/engines.py fashion_mnist --out runs/engines

Both engines run the whole round (statistics, local stage, distillation, evaluation). Reported: the paired difference of
the accuracies over networks with its standard error, and the relative L2 distance of what the clients sent. Resumable.
A script, because it reads the contributions of two engines side by side: those of `collabdm experiment` are not kept.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np

from collabdm.config import load_config
from collabdm.data import load_dataset
from collabdm.engine import EAGER, Engine, resolve_engine, tune_allocator
from collabdm.protocol import decode_contribution, decode_plan
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_json

BASE = ["ipc=10", "plan.seeds=20", "plan.batch=128", "local.iterations=60", "server.passes=5", "evaluate.count=5"]


def main() -> None:
    """Run both engines and print the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/engines"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    dataset = load_dataset(given.dataset)
    fast = resolve_engine("compiled", "cpu", 0.0, own=True)
    engines: dict[str, Engine] = {"fast": fast, "plain": EAGER.model_copy(update={"threads": fast.threads})}
    accuracies: dict[str, list[float]] = {}
    for name, engine in engines.items():
        config = load_config(settings=[*BASE, *given.settings], options={"dataset": given.dataset})
        metrics = simulate_on(dataset, config, given.out / name, engine=engine)
        accuracies[name] = [network["accuracy"] for network in metrics["accuracy"]["networks"]]
        print(name, accuracies[name], metrics["seconds"]["total"], flush=True)
    differences = [a - b for a, b in zip(accuracies["fast"], accuracies["plain"], strict=True)]
    result = {
        "engines": {name: engine.model_dump() for name, engine in engines.items()},
        "settings": [*BASE, *given.settings],
        "accuracies": accuracies,
        "difference": statistics.fmean(differences),
        "standard_error": statistics.stdev(differences) / len(differences) ** 0.5,
        "distance_of_means": _distance(given.out / "fast", given.out / "plain"),
    }
    write_json(given.out / "engines.json", result)
    print(json.dumps(result, indent=2))


def _distance(first: Path, second: Path) -> float:
    """The largest relative L2 distance between the statistics of a client under both engines."""
    distances = []
    for path in sorted((first / "contributions").iterdir()):
        one, other = (_means(run, path.name) for run in (first, second))
        distances.append(float(np.linalg.norm(one - other) / np.linalg.norm(other)))
    return max(distances)


def _means(run: Path, name: str) -> np.ndarray:
    plan = decode_plan((run / "plan.json").read_bytes())
    content = (run / "contributions" / name).read_bytes()
    return decode_contribution(content, plan).statistics.astype(float)


if __name__ == "__main__":
    main()
