"""Training sets without a round: what pooled data give, the floor and the ceiling of every table."""

import math

import numpy as np
import torch

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.local import packed_real
from collabdm.planning import augmentation_for, sample_for, tiles_in
from collabdm.randomness import Stream
from collabdm.training.training_set import TrainingSet

__all__ = ["all_data", "random_real_set", "real_examples"]

# Examples are there to be looked at: two megabytes, and as many classes as a page shows.
_MOST_REAL, _MOST_REAL_CLASSES, _MOST_REAL_OF_CLASS = 2**19, 40, 6


def random_real_set(dataset: Dataset, config: Config, *, engine: Engine) -> DistilledSet:
    """`config.ipc` real samples of every class that has any, drawn from the pooled training data.

    With l x l tiles (partition and expand) a stored sample holds l^2 of them: as many bytes, l^2 times the samples.
    """
    train, sample = dataset.train, sample_for(config, dataset.preset)
    tiles = tiles_in(config, sample)
    samples, labels = [], []
    for y, held in enumerate(train.counts()):
        if not held:
            continue
        stream = Stream(config.seed, "random-real", y)
        rows = train.of_class(y)[stream.choose(int(held), config.ipc * tiles**2)]
        wanted = min(config.ipc, max(len(rows) // tiles**2, 1))
        rows = np.resize(rows, wanted * tiles**2)
        samples.append(packed_real(train, rows, tiles, sample, engine=engine))
        labels += [y] * wanted
    return DistilledSet(
        samples=torch.cat(samples).float(),
        labels=torch.tensor(labels),
        classes=train.classes,
        sample=sample,
        tiles=tiles,
        augment=augmentation_for(config, dataset.preset),
        method=config.method,
        facts={"dataset": dataset.name, "ipc": config.ipc, "init": "real", **dataset.facts},
    )


def all_data(dataset: Dataset, config: Config) -> TrainingSet:
    """All training data of all clients in one place: what no round can beat."""
    return TrainingSet(
        samples=dataset.train,
        labels=torch.from_numpy(dataset.train.labels),
        sample=sample_for(config, dataset.preset),
        augment=augmentation_for(config, dataset.preset),
    )


def real_examples(dataset: Dataset, config: Config, *, engine: Engine) -> DistilledSet | None:
    """A few real samples of every class, as they are, for a page to show beside the distilled ones; fewer of large
    ones. None where such samples have no pictures.
    """
    train, sample = dataset.train, sample_for(config, dataset.preset)
    held = np.flatnonzero(train.counts())[:_MOST_REAL_CLASSES]
    of_class = int(np.clip(_MOST_REAL // (len(held) * math.prod(sample.shape)), 1, _MOST_REAL_OF_CLASS))
    chosen = [(y, Stream(config.seed, "real-examples", y)) for y in held.tolist()]
    rows = [train.of_class(y)[stream.choose(int(train.counts()[y]), of_class)] for y, stream in chosen]
    found = DistilledSet(
        samples=torch.cat([packed_real(train, some, 1, sample, engine=engine) for some in rows]).float(),
        labels=torch.tensor([y for (y, _), some in zip(chosen, rows, strict=True) for _ in some]),
        classes=train.classes,
        sample=sample,
        augment=(),
        method="random-real",
        facts={"dataset": dataset.name, "init": "real"},
    )
    return found if found.pictures() is not None else None
