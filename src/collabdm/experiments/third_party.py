"""What a set gives a third party: another network, ten images of each class of its own, and a world somewhat other.

It gets the exported 8-bit images alone, as a stranger reads them. Its own images come out of the test part, which no
site has seen; it is tested on the rest, as it is and shifted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from collabdm.counting import counted
from collabdm.data.samples import Samples
from collabdm.errors import DataError, explain
from collabdm.evaluation.networks import network_seed
from collabdm.experiments.base import FinishedRun
from collabdm.networks import NetworkSpec
from collabdm.planning import augmentation_for, networks_tested, recipe_for, sample_for
from collabdm.progress import Event
from collabdm.randomness import Stream
from collabdm.scoring.foreign import read_foreign
from collabdm.storage.files import read_json, write_json
from collabdm.training.loop import train
from collabdm.training.testing import test_accuracy, voters_of
from collabdm.training.training_set import TrainingSet

__all__ = ["DEGREES", "NOISE", "OWN", "SHIFTS", "TRAINED_ON", "gains", "noised", "rotated"]

TRAINED_ON = {"own": "its own images", "set": "the set", "both": "both"}
"""What the third party's networks are trained on, in words."""

OWN = 10
"""Images of each class that the third party has; fewer where the test part has fewer than twice as many."""
DEGREES, NOISE = 15.0, 0.1


def gains(run: FinishedRun) -> dict[str, Any]:
    """Accuracies in [0, 1] by what the third party trains on (`own`, `set`, `both`), test images and network.

    Each is shown as many samples as the recipe shows of the set, so that none is ahead by longer training.
    """
    own, rest = _parted(run.dataset.test, run.config.seed)
    tests = {name: shift(rest) for name, shift in SHIFTS.items()}
    sample, augment = sample_for(run.config, run.dataset.preset), augmentation_for(run.config, run.dataset.preset)
    folder = next(path for path in (run.folder, run.folder / "repeat-0") if (path / "distilled").is_dir())
    shared = read_foreign(str(folder / "distilled" / "images"), sample=sample, classes=own.classes)
    mine = sample.tensors(own.values, device="cpu", dtype=torch.float32), torch.from_numpy(own.labels)
    theirs = shared.samples, shared.labels
    parts = {"own": (mine,), "set": (theirs,), "both": (mine, theirs)}
    file, spec, recipe = run.folder / "third-party.json", _network(run), recipe_for(run.config)
    shown = len(shared.labels) * recipe.epochs_for(len(shared.labels))
    found = _kept(file, basis := _basis(run, spec, shown))
    for name, joined in parts.items():
        training = TrainingSet(
            samples=torch.cat([samples for samples, _ in joined]),
            labels=torch.cat([labels for _, labels in joined]),
            sample=sample,
            augment=augment,
        )
        epochs = max(1, round(shown / len(training.labels)))
        as_long = recipe.model_copy(update={"epochs": epochs, "most_samples": None})
        for index in range(recipe.count):
            if len(next(iter(found.get(name, {}).values()), [])) > index:
                continue
            which, size = f"network {index + 1} of {recipe.count}", len(training.labels)
            _tell(run, f"{which} on {TRAINED_ON[name]} ({counted(size, 'image')}, {counted(epochs, 'epoch')})")
            seed, classes = network_seed(run.config.seed, spec, index), len(own.classes)
            learned = train(training, spec, classes=classes, recipe=as_long, seed=seed, engine=run.engine)
            voters = voters_of(spec, learned, training, recipe)
            for shift, test in tests.items():
                right = test_accuracy(voters, test, sample, run.engine).accuracy
                found.setdefault(name, {}).setdefault(shift, []).append(right)
            write_json(file, {"basis": basis, "found": found})
    sizes = {"own": len(own), "set": len(shared.labels), "test": len(rest)}
    return {"network": spec.model_dump(exclude_none=True), "images": sizes, "accuracy": found}


def rotated(test: Samples) -> Samples:
    """Turned by 15 degrees about the middle; what comes in from outside repeats the edge."""
    turn = np.deg2rad(DEGREES)
    images = torch.from_numpy(_unit(test))
    height, width = images.shape[2:]
    # In coordinates of [-1, 1] both ways a turn of an image that is not square is none: their sides come in.
    matrix = [[np.cos(turn), -np.sin(turn) * height / width, 0], [np.sin(turn) * width / height, np.cos(turn), 0]]
    grid = functional.affine_grid(
        torch.tensor(matrix, dtype=torch.float32).repeat(len(images), 1, 1), list(images.shape), align_corners=False
    )
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return replace(test, values=moved.clamp(0, 1).numpy())


def noised(test: Samples) -> Samples:
    """With Gaussian noise of the deviation 0.1 in pixels of [0, 1], clipped to black and white."""
    noise = Stream(0, "third party", "noise").generator().standard_normal(test.values.shape).astype(np.float32)
    return replace(test, values=np.clip(_unit(test) + np.float32(NOISE) * noise, 0, 1))


SHIFTS: dict[str, Callable[[Samples], Samples]] = {
    "as they are": lambda test: test,
    "rotated": rotated,
    "noised": noised,
}
"""How test images are shifted, by name."""


def _unit(test: Samples) -> np.ndarray:
    return test.values.astype(np.float32) / 255 if test.values.dtype == np.uint8 else test.values


def _parted(test: Samples, seed: int) -> tuple[Samples, Samples]:
    """The third party's own images, and those that it is tested on."""
    counts = test.counts()
    each = min(OWN, int(counts[counts > 0].min()) // 2)
    if not each:
        fix = "give more test data"
        raise DataError(explain("test images of a class", got="one", expected="two at least", fix=fix))
    chosen = [
        test.of_class(y)[Stream(seed, "third party", y).choose(int(held), each)]
        for y, held in enumerate(counts)
        if held
    ]
    own = np.sort(np.concatenate(chosen))
    return test.take(own), test.take(np.setdiff1d(np.arange(len(test)), own))


def _network(run: FinishedRun) -> NetworkSpec:
    """The third party's: the first network that judges the cell."""
    return next(spec for spec in networks_tested(run.config, run.dataset.preset) if isinstance(spec, NetworkSpec))


def _basis(run: FinishedRun, spec: NetworkSpec, shown: int) -> str:
    """By what results that were kept hold on."""
    recipe = recipe_for(run.config)
    return json.dumps(
        [spec.model_dump(), recipe.model_dump(), shown, run.config.seed, run.engine.kind, run.engine.dtype]
    )


def _kept(file: Path, basis: str) -> dict[str, dict[str, list[float]]]:
    kept: Mapping[str, Any] = read_json(file, dict) if file.exists() else {}
    return kept["found"] if kept.get("basis") == basis else {}


def _tell(run: FinishedRun, line: str) -> None:
    run.report(Event(stage="third party", done=0, total=1, message=line))
