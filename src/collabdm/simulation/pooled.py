"""Training sets without a round: what pooled data give, the floor and the ceiling of every table."""

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

__all__ = ["all_data", "random_real_set"]


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
