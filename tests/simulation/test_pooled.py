"""Sets without a round, against the rows they are drawn from."""

import dataclasses

import numpy as np
import pytest
import torch

from collabdm.data import Dataset, load_dataset
from collabdm.engine import Engine
from collabdm.images.modality import Images
from collabdm.images.partition_expand import pack
from collabdm.planning import resolved, sample_for
from collabdm.simulation.pooled import all_data, random_real_set, real_examples
from tiny_runs import tiny_config


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def engine_for(digits: Dataset) -> Engine:
    return resolved([tiny_config()], digits.preset)


def rows_like(digits: Dataset, label: int) -> torch.Tensor:
    """All training images of a class, normalised."""
    sample = sample_for(tiny_config(), digits.preset)
    assert isinstance(sample, Images)
    constants = (sample.normalisation.mean, sample.normalisation.std)
    mean, std = (torch.tensor(value)[:, None, None] for value in constants)
    pixels = digits.train.values[digits.train.of_class(label)]
    return (torch.from_numpy(pixels) / 255 - mean) / std


def test_random_real_images_are_different_training_images_of_their_class(digits: Dataset) -> None:
    config = tiny_config({"method": "random-real", "ipc": 5})
    chosen = random_real_set(digits, config, engine=engine_for(digits))
    assert chosen.labels.tolist() == [y for y in range(10) for _ in range(5)]
    for y in range(10):
        distances = torch.cdist(chosen.samples[chosen.labels == y].flatten(1), rows_like(digits, y).flatten(1))
        nearest = distances.min(dim=1)
        assert nearest.values.max() < 1e-2
        assert len(set(nearest.indices.tolist())) == 5
    other = random_real_set(digits, tiny_config({"ipc": 5, "seed": 1}), engine=engine_for(digits))
    assert not torch.equal(chosen.samples, other.samples)


def test_tiles_hold_as_many_samples_in_the_same_bytes(digits: Dataset) -> None:
    config = tiny_config({"method": "random-real-pae", "ipc": 3})
    chosen = random_real_set(digits, config, engine=engine_for(digits))
    assert chosen.tiles == 2
    assert chosen.samples.shape == (30, *digits.train.shape)
    # A tile beside three copies of itself is the tile of a packed image of one sample, four times.
    small = pack(rows_like(digits, 4).repeat_interleave(4, dim=0), 2)[:, :, :4, :4].flatten(1)
    stored = chosen.samples[chosen.labels == 4]
    tiles = torch.cat([stored[:, :, r : r + 4, c : c + 4] for r in (0, 4) for c in (0, 4)]).flatten(1)
    nearest = torch.cdist(tiles, small).min(dim=1)
    assert nearest.values.max() < 1e-2
    assert len(set(nearest.indices.tolist())) == 12


def test_a_class_with_few_samples_gives_those_and_an_absent_class_none(digits: Dataset) -> None:
    held = np.concatenate([digits.train.of_class(y)[: 0 if y == 3 else 2 if y == 7 else 9] for y in range(10)])
    few = dataclasses.replace(digits, train=digits.train.take(held))
    chosen = random_real_set(few, tiny_config({"method": "random-real", "ipc": 5}), engine=engine_for(digits))
    assert np.bincount(chosen.labels, minlength=10).tolist() == [5, 5, 5, 0, 5, 5, 5, 2, 5, 5]


def test_all_data_are_the_training_data_untouched(digits: Dataset) -> None:
    everything = all_data(digits, tiny_config({"method": "full-data"}))
    assert everything.samples is digits.train
    assert everything.labels.tolist() == digits.train.labels.tolist()


def test_examples_are_rows_of_their_class_and_few(digits: Dataset) -> None:
    engine = engine_for(digits)
    found = real_examples(digits, tiny_config(), engine=engine)
    assert found is not None
    assert found.counts().tolist() == [6] * 10
    assert found.tiles == 1
    for label in range(10):
        known = {row.numpy().tobytes() for row in rows_like(digits, label)}
        drawn = {row.numpy().tobytes() for row in found.samples[found.labels == label]}
        assert len(drawn) == 6
        assert drawn <= known
    # The same seed draws the same, for a run that is gone on with.
    again = real_examples(digits, tiny_config(), engine=engine)
    assert again is not None
    assert again.to_bytes() == found.to_bytes()


def test_large_samples_are_fewer(digits: Dataset) -> None:
    train = digits.train
    large = dataclasses.replace(train, values=train.values.repeat(22, axis=2).repeat(22, axis=3))
    preset = dataclasses.replace(digits.preset, shape=(1, 176, 176))
    found = real_examples(
        dataclasses.replace(digits, train=large, preset=preset), tiny_config(), engine=engine_for(digits)
    )
    assert found is not None
    assert found.counts().tolist() == [1] * 10
