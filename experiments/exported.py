"""What an exported folder is worth: networks trained on a distilled set's floats, and on its PNG files as read back.

    python experiments/exported.py fashion_mnist --out runs/exported       (resumable: the set is distilled once)

The set is made by a simulated round, written by `to_folder` and read by `load_dataset`, as a stranger would. Network i
starts alike and sees the same batches in both, so that the difference is paired.
"""

import argparse
import shutil
import statistics
from pathlib import Path
from typing import Any

import torch

import collabdm
from collabdm.config import load_config
from collabdm.data import load_dataset
from collabdm.distilled.set import DistilledSet, load
from collabdm.engine import Engine, tune_allocator
from collabdm.evaluation.judging import trials_of
from collabdm.evaluation.networks import network_results
from collabdm.images.modality import Images
from collabdm.planning import resolved
from collabdm.rounds.run_folder import settled_config
from collabdm.simulation.simulate import simulate_on
from collabdm.storage.files import write_json
from collabdm.training.training_set import TrainingSet

BASE = [
    *("ipc=10", "partition.kind=iid", "partition.clients=5", "plan.seeds=50", "plan.batch=128"),
    *("local.iterations=100", "evaluate.protocol=fast", "evaluate.count=3"),
]


def main() -> None:
    """Distil, export, read back, train on both and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path("runs/exported"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    tune_allocator()
    dataset = load_dataset(given.dataset)
    config = load_config(settings=[*BASE, *given.settings], options={"dataset": given.dataset})
    # A run that is resumed keeps its engine, and both trainings take that one.
    config = settled_config(given.out / "run", config, resolved([config], dataset.preset))
    assert isinstance(config.engine, Engine)
    metrics = simulate_on(dataset, config, given.out / "run", engine=config.engine)
    distilled = load(given.out / "run" / "distilled")
    trials = trials_of(config, dataset.preset, config.engine)
    folder = given.out / "exported"
    shutil.rmtree(folder, ignore_errors=True)
    distilled.to_folder(folder)
    result: dict[str, Any] = {
        "outside": _outside(distilled),
        "floats": [network["accuracy"] for network in metrics["accuracy"]["networks"]],
        "files": [result.accuracy for result in network_results(_read_back(folder, distilled), dataset.test, trials)],
    }
    write_json(given.out / "exported.json", result)
    print(_table(result["floats"], result["files"]))
    print(f"\noutside [0, 1]: {100 * result['outside']:.1f} % of the pixel values")


def _read_back(folder: Path, distilled: DistilledSet) -> TrainingSet:
    """The images of the folder; what the card of the set says (normalisation and augmentation) is all that is added."""
    found = collabdm.load_dataset(str(folder), splits=("train",)).train
    return TrainingSet(
        samples=found,
        labels=torch.from_numpy(found.labels),
        sample=distilled.sample,
        augment=distilled.augment,
    )


def _outside(distilled: DistilledSet) -> float:
    """The share of the training images' pixel values that no ordinary image has."""
    full = distilled.expanded()
    assert isinstance(full.sample, Images)  # no other samples are written as files
    pixels = full.sample.pixels(full.samples)
    return float(((pixels < 0) | (pixels > 1)).double().mean())


def _table(floats: list[float], files: list[float]) -> str:
    differences = [b - a for a, b in zip(floats, files, strict=True)]
    return "\n".join(
        [
            "| trained on | accuracy |",
            "| --- | --- |",
            f"| floats | {_spread(floats)} |",
            f"| the folder of PNG files, read back | {_spread(files)} |",
            f"| difference, paired | {_spread(differences, sign='+')} |",
        ]
    )


def _spread(values: list[float], sign: str = "") -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):{sign}.2f} ± {100 * error:.2f}"


if __name__ == "__main__":
    main()
