"""Training sets without a round: what pooled data give, the floor and the ceiling of every table."""

import numpy as np
import torch

from collabdm.config import Config
from collabdm.data import Dataset
from collabdm.distilled.set import DistilledSet
from collabdm.engine import Engine
from collabdm.local import images_from_real
from collabdm.planning import augmentation_for, normalisation_for
from collabdm.randomness import Stream
from collabdm.training.loop import TrainingSet

__all__ = ["all_data", "random_real_set"]


def random_real_set(dataset: Dataset, config: Config, *, engine: Engine) -> DistilledSet:
    """`config.ipc` real images (C, H, W) of every class that has any, drawn from the pooled training data.

    With a factor f of partition and expand, an image is f x f tiles: as many bytes, f^2 times the samples.
    """
    train, factor = dataset.train, config.factor
    normalisation = normalisation_for(config, dataset.preset)
    images, labels = [], []
    for y, held in enumerate(train.counts()):
        if not held:
            continue
        stream = Stream(config.seed, "random-real", y)
        rows = train.of_class(y)[stream.choose(int(held), config.ipc * factor**2)]
        wanted = min(config.ipc, max(len(rows) // factor**2, 1))
        rows = np.resize(rows, wanted * factor**2)
        images.append(images_from_real(train, rows, factor, normalisation, engine=engine))
        labels += [y] * wanted
    return DistilledSet(
        images=torch.cat(images).float(),
        labels=torch.tensor(labels),
        classes=train.classes,
        mean=normalisation.mean,
        std=normalisation.std,
        factor=factor,
        augment=augmentation_for(config, dataset.preset),
        method=config.method,
        facts={"dataset": dataset.name, "ipc": config.ipc, "init": "real", **dataset.facts},
    )


def all_data(dataset: Dataset, config: Config) -> TrainingSet:
    """All training data of all clients in one place: what no round can beat."""
    return TrainingSet(
        images=dataset.train,
        labels=torch.from_numpy(dataset.train.labels),
        normalisation=normalisation_for(config, dataset.preset),
        augment=augmentation_for(config, dataset.preset),
    )
