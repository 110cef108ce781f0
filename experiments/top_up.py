"""How to fill the classes whose union of local sets is below ipc: received tiles permuted and mixed, or noise.

    python experiments/top_up.py digits --out runs/top_up.json

For several partitions and seeds the same contributions are refined from both initial sets, and judged on a held-out
tenth of the TRAINING data. A script, because no setting of a cell of `collabdm experiment` says what fills up a class.
"""

import argparse
import dataclasses
import math
import statistics
from pathlib import Path

import torch

from collabdm.client import contribute
from collabdm.config import Config, load_config
from collabdm.data import Dataset, load_dataset
from collabdm.engine import tune_allocator
from collabdm.evaluation.judging import trials_of
from collabdm.evaluation.networks import network_results
from collabdm.initial_set import InitialSet, initial_set
from collabdm.planning import make_plan, resolved
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.server import aggregate, initial_state, refine
from collabdm.simulation.sharing import parts_of
from collabdm.storage.files import write_json
from collabdm.training.training_set import TrainingSet

BASE = ["plan.seeds=60", "plan.batch=128", "local.iterations=120", "partition.beta=0.1"]


def main() -> None:
    """Run all seeds and print the paired difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ipc", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/top_up.json"))
    given = parser.parse_args()
    tune_allocator()
    whole = load_dataset(given.dataset, splits=("train",))
    kept, held_out = whole.train.split(0.1, Stream(0, "held-out"))
    dataset, rows = dataclasses.replace(whole, train=kept, test=held_out), []
    for seed in range(given.seeds):
        config = load_config(settings=BASE, options={"dataset": given.dataset, "seed": seed, "ipc": given.ipc})
        rows.append({"seed": seed, **_compared(config, dataset)})
        print(rows[-1], flush=True)
    differences = [row["tiles"] - row["noise"] for row in rows]
    error = statistics.stdev(differences) / len(rows) ** 0.5
    write_json(given.out, {"rows": rows, "mean_difference": statistics.fmean(differences), "standard_error": error})
    print(f"tiles - noise: {100 * statistics.fmean(differences):.2f} +- {100 * error:.2f} points")


def _compared(config: Config, dataset: Dataset) -> dict[str, float]:
    train, preset = dataset.train, dataset.preset
    engine = resolved([config], preset)
    parts = parts_of(config, dataset)
    plan = make_plan(config, clients=parts, preset=preset)
    contributions = [contribute(plan, client, train.take(rows), engine=engine) for client, rows in parts.items()]
    target = aggregate(plan, contributions, config.server)
    tiles = initial_set(plan, contributions)
    accuracies: dict[str, float] = {"topped_up": sum(tiles.topped_up.values())}
    for name, initial in (("tiles", tiles), ("noise", _with_noise(plan, tiles))):
        state = initial_state(initial.samples, initial.labels, engine)
        for refinement in refine(plan, target, state, config.server, engine=engine):
            state = refinement.state
        training = TrainingSet(
            samples=plan.sample.expand(state.samples, plan.tiles),
            labels=initial.labels.repeat_interleave(plan.tiles**2),
            sample=plan.sample,
            augment=plan.augment,
        )
        results = network_results(training, dataset.test, trials_of(config, preset, engine))
        accuracies[name] = statistics.fmean(result.accuracy for result in results)
    return accuracies


def _with_noise(plan: Plan, initial: InitialSet) -> InitialSet:
    """The same set with its made images replaced by noise of the received pixels' mean and spread."""
    images = initial.samples.clone()
    for y, count in initial.topped_up.items():
        rows = (initial.labels == y).nonzero().flatten()
        received, made = rows[: len(rows) - count], rows[len(rows) - count :]
        source = initial.samples[received]
        noise = Stream(plan.seed, "noise", y).uniform((count, *plan.sample.shape), -math.sqrt(3), math.sqrt(3))
        centre = source.mean(dim=(0, 2, 3), keepdim=True)
        images[made] = centre + source.std(correction=0) * torch.from_numpy(noise).float()
    return dataclasses.replace(initial, samples=images)


if __name__ == "__main__":
    main()
