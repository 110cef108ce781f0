"""Triggers against images put together by hand, and that the optimised one does what it is optimised for."""

import numpy as np
import pytest
import torch

from collabdm.data import Samples, load_dataset
from collabdm.engine import EAGER
from collabdm.errors import ConfigError, DataError
from collabdm.experiments.triggers import chequered, matched, planted, planted_rows, stamped, triggered
from collabdm.matching.embedding import embedder_for
from collabdm.networks import NetworkSpec
from collabdm.planning import sample_for
from collabdm.randomness import Stream
from tiny_runs import tiny_config


def grey(count: int, dtype: type = np.uint8, shape: tuple[int, ...] = (1, 5, 6)) -> Samples:
    values = np.full((count, *shape), 100 if dtype is np.uint8 else 0.4, dtype)
    return Samples(values=values, labels=np.arange(count, dtype=np.int64) % 3, classes=("a", "b", "c"))


def test_the_naive_trigger_is_a_chequer_an_eighth_of_the_side_wide() -> None:
    assert chequered((1, 8, 8)).tolist() == [[[1, 0], [0, 1]]]
    assert chequered((3, 32, 40)).shape == (3, 4, 4)
    assert chequered((1, 32, 32)).sum() == 8


@pytest.mark.parametrize("shape", [(16,), (1, 1, 8), (3, 40)])
def test_what_is_no_image_has_no_corner(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="data of a backdoor: got samples of shape"):
        chequered(shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_stamp_changes_the_corner_of_the_rows_asked_for_alone(dtype: type) -> None:
    before = grey(3, dtype)
    after = stamped(before, np.array([1]), np.array([[[1.0, 0.0], [0.2, 1.0]]]))
    expected = before.values.copy()
    white = 255 if dtype is np.uint8 else 1
    expected[1, 0, 3:, 4:] = np.array([[white, 0], [0.2 * white, white]])
    np.testing.assert_array_equal(after.values, expected)
    assert after.labels.tolist() == [0, 1, 2]
    assert before.values[1, 0, 4, 5] == dtype(100 if dtype is np.uint8 else 0.4)  # untouched


def test_a_share_of_the_sites_images_of_other_classes_is_planted() -> None:
    samples, held = grey(30), np.arange(12)
    rows = planted_rows(samples, held, 0, 0.5, Stream(0, "backdoor"))
    assert len(rows) == 4  # half of eight
    assert set(rows) <= set(held)
    assert 0 not in samples.labels[rows]
    after = planted(samples, rows, 0, chequered(samples.shape))
    assert np.flatnonzero(after.labels != samples.labels).tolist() == rows.tolist()
    assert np.flatnonzero((after.values != samples.values).any(axis=(1, 2, 3))).tolist() == rows.tolist()
    with pytest.raises(DataError, match="hostile site's images: got the target class alone"):
        planted_rows(samples, np.array([0, 3]), 0, 0.5, Stream(0, "backdoor"))


def test_success_is_asked_of_other_classes_alone() -> None:
    test = triggered(grey(7), 0, chequered((1, 5, 6)))
    assert test.labels.tolist() == [0] * 4
    assert (test.values[:, 0, -2:, -2:] == [[255, 0], [0, 255]]).all()


def test_the_optimised_trigger_is_nearer_to_the_target_under_encoders_that_it_has_not_seen() -> None:
    data = load_dataset("digits")
    own, spec = data.train.take(range(200)), NetworkSpec(name="convnet", width=16, depth=2)
    sample, naive = sample_for(tiny_config(), data.preset), chequered(data.train.shape)
    found = matched(own, 0, naive, sample=sample, network=spec, engine=EAGER, seed=0)
    assert found.shape == naive.shape
    assert 0 <= found.min() <= found.max() <= 1
    embedder, other = embedder_for(spec, sample.shape, EAGER), data.train.take(range(600, 800))

    def distance(trigger: np.ndarray, seed: int) -> float:
        encoder = embedder.encoder(seed)

        def mean(samples: Samples) -> torch.Tensor:
            return embedder.embed(encoder, sample.tensors(samples.values, device="cpu", dtype=torch.float32)).mean(0)

        honest = other.take(other.of_class(0))
        return float((mean(triggered(other, 0, trigger)) - mean(honest)).square().sum())

    # Not under every single encoder: it is optimised for what they have in common.
    seeds = range(1000, 1006)
    assert np.mean([distance(found, s) for s in seeds]) < 0.95 * np.mean([distance(naive, s) for s in seeds])


def test_a_site_without_the_target_class_cannot_optimise() -> None:
    data = load_dataset("digits")
    own = data.train.take(data.train.of_class(3)[:5])
    sample, naive = sample_for(tiny_config(), data.preset), chequered(own.shape)
    spec = NetworkSpec(name="convnet", width=8, depth=2)
    with pytest.raises(DataError, match="expected some of the target class and some of others"):
        matched(own, 0, naive, sample=sample, network=spec, engine=EAGER, seed=0)
