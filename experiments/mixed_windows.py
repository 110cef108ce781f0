"""How a network trained on pure windows does on mixed ones, and what leaking columns are worth.

    python experiments/mixed_windows.py flows.csv --schema unsw-nb15 --out runs/mixed

A live window is mixed: it has flows of several types. Four data sets are made of one file (pure and time windows, with
and without leaking columns), all with the same flows for testing. Networks are trained on all training windows of one
kind, and tested on the test windows of both. Resumable. A script, because a cell of `collabdm experiment` is tested on
the data set that it was trained on.
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from collabdm.config import load_config
from collabdm.data import Dataset, load_dataset
from collabdm.data.flows.dataset import images_of, save_images
from collabdm.data.flows.images import ImageSettings
from collabdm.data.flows.schema import load_schema
from collabdm.data.samples import Samples
from collabdm.engine import tune_allocator
from collabdm.evaluation.networks import NetworkResult, network_seed, summary
from collabdm.networks import NetworkSpec
from collabdm.planning import augmentation_for, networks_tested, recipe_for, resolved, sample_for
from collabdm.storage.files import write_json
from collabdm.training.loop import train
from collabdm.training.testing import Voter, test_accuracy
from collabdm.training.training_set import TrainingSet

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
            path = given.out / "cells" / f"{trained}-{'leaking' if leaking else 'clean'}.json"
            if not path.exists():
                write_json(path, _cells(data[trained], data, given.settings, trained, leaking))
            rows += json.loads(path.read_text())
            print(*rows[-len(KINDS) :], sep="\n", flush=True)
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


def _cells(
    training: Dataset, tests: Mapping[str, Dataset], settings: list[str], trained: str, leaking: bool
) -> list[dict[str, Any]]:
    """A row for each kind of test windows, all of the same networks: those that full-data would train."""
    config = load_config(settings=settings, options={"dataset": training.name, "method": "full-data"})
    samples, preset = training.train, training.preset
    classes = len(samples.classes)
    engine = resolved([config], preset)
    everything = TrainingSet(
        samples=samples,
        labels=torch.from_numpy(samples.labels),
        sample=sample_for(config, preset),
        augment=augmentation_for(config, preset),
    )
    protocol, found = recipe_for(config), {kind: list[NetworkResult]() for kind in KINDS}
    networks = [spec for spec in networks_tested(config, preset) if isinstance(spec, NetworkSpec)]
    for spec in networks:
        for index in range(protocol.count):
            seed = network_seed(config.seed, spec, index)
            parameters = train(everything, spec, classes=classes, recipe=protocol, seed=seed, engine=engine)
            for kind, results in found.items():
                voters = (Voter(network=spec, parameters=parameters),)
                scores = test_accuracy(voters, tests[kind].test, everything.sample, engine)
                results.append(NetworkResult(network=spec.name, index=index, **scores._asdict()))
    return [
        _row(trained, kind, leaking, samples, tests[kind].test, summary(results, samples.classes))
        for kind, results in found.items()
    ]


def _row(
    trained: str, tested: str, leaking: bool, training: Samples, test: Samples, accuracy: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "trained": trained,
        "tested": tested,
        "leaking": leaking,
        "accuracy": accuracy["mean"],
        "std": accuracy["std"],
        "macro_f1": accuracy["macro_f1"]["mean"],
        "per_class": accuracy["per_class"],
        "networks": len(accuracy["networks"]),
        "train_windows": training.counts().tolist(),
        "test_windows": test.counts().tolist(),
        "most_frequent": statistics.fmean(test.labels == test.counts().argmax()),
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
