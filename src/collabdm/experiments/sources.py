"""Where an experiment's data lie, and what stands in for data that were not given."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from collabdm.data import Dataset, Samples, load_dataset
from collabdm.data.presets import PRESETS
from collabdm.errors import ConfigError, DataError, explain
from collabdm.experiments.presets import Scale
from collabdm.modalities import AUTO
from collabdm.randomness import Stream

__all__ = ["CLASS_COLUMN", "IMAGES", "check_given", "content_digest", "dataset_for", "share", "stand_in_for"]

IMAGES = "images"
"""The name of images of flows, which have no home on the hub."""

CLASS_COLUMN = "class"
"""A column that every data set gets here: the class's number, for a partition of one class per client."""


def stand_in_for(name: str, given: Mapping[str, str], scale: Scale, own: str | None = None) -> str | None:
    """What is used for the data set `name`, where it is not itself: its `own` stand-in, or the scale's."""
    if name in given or scale.stand_in is None:
        return None
    return own or scale.stand_in


def check_given(given: Mapping[str, str], names: set[str]) -> None:
    """Raise `ConfigError` for data that the experiment does not ask for."""
    for name in given:
        if name not in names:
            expected = f"one of {', '.join(sorted(names))}"
            raise ConfigError(explain("--data", got=name[:80], expected=expected, fix="check the name"))


def dataset_for(
    name: str,
    given: Mapping[str, str],
    scale: Scale,
    *,
    stand_in: str | None = None,
    modality: str = AUTO,
    options: Mapping[str, Any] | None = None,
) -> Dataset:
    """The data set `name`: from where `given` says, else by its own `stand_in` or the scale's where that has one,
    else by its own name (the hub).

    Given data are taken for what they are called here, whatever their folder's name. The stand-in has a made-up column
    `station`. At a scale with a limit, as many images of every class are kept as it allows. `modality` and `options` as
    in `load_dataset`.
    Raises `DataError`.
    """
    standing_in = stand_in_for(name, given, scale, stand_in)
    if name == IMAGES and name not in given and standing_in is None:
        fix = f"make them with `collabdm flows to-images`, and pass --data {IMAGES}=FOLDER"
        raise DataError(explain("images of flows", got="none", expected="a folder", fix=fix))
    dataset = load_dataset(given.get(name, standing_in or name), modality=modality, options=options or {})
    if name in given and name in PRESETS:
        dataset = _named(dataset, name)
    columns = dict(dataset.columns) | {CLASS_COLUMN: dataset.train.labels.astype(str)}
    if standing_in is not None:
        columns["station"] = np.where(np.arange(len(dataset.train)) % 2, "b", "a")
    dataset = replace(dataset, columns=columns)
    return dataset if scale.images is None else _cut(dataset, *scale.images)


def content_digest(dataset: Dataset) -> str:
    """SHA-256 of all that results depend on: pixels, labels, names of classes, and columns."""
    digest = hashlib.sha256()
    for samples in (dataset.train, dataset.test):
        digest.update(samples.digest().encode())
        digest.update(json.dumps(samples.classes).encode())
    for name, values in sorted(dataset.columns.items()):
        digest.update(json.dumps([name, np.asarray(values).astype(str).tolist()]).encode())
    return digest.hexdigest()


def _named(dataset: Dataset, name: str) -> Dataset:
    """With the declared facts of `name`, which a folder of another name would not get."""
    preset = PRESETS[name]
    if dataset.train.shape != preset.shape or len(dataset.train.classes) != len(preset.classes):
        got = f"{len(dataset.train.classes)} classes of {list(dataset.train.shape)}"
        expected = f"{len(preset.classes)} of {list(preset.shape)}"
        raise DataError(explain(f"data given for {name}", got=got, expected=expected, fix="check the path"))
    return replace(dataset, name=name, preset=replace(preset, classes=dataset.train.classes))


def _cut(dataset: Dataset, train: int, test: int) -> Dataset:
    kept = share(dataset.train, train)
    columns = {name: values[kept] for name, values in dataset.columns.items()}
    tested = dataset.test.take(share(dataset.test, test))
    return replace(dataset, train=dataset.train.take(kept), test=tested, columns=columns)


def share(samples: Samples, most: int) -> np.ndarray:
    """Rows of at most `most` samples, the classes' shares kept."""
    if len(samples) <= most:
        return np.arange(len(samples))
    return samples.split_indices(most / len(samples), Stream(0, "experiments", "share"))[1]
