"""Second-order sums: additive over any partition, exact in both forms, streamed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.data import Samples, load_dataset
from collabdm.engine import REFERENCE
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.matching import gram
from collabdm.matching.embedding import embedder_for
from collabdm.matching.gram import FeatureMoments, FeatureSums, added, feature_sums
from collabdm.networks import NetworkSpec, initial_parameters
from collabdm.randomness import Stream

SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
EMBEDDER = embedder_for(NetworkSpec(name="patches", width=4), SAMPLE.shape, REFERENCE)
PARAMETERS = EMBEDDER.placed(initial_parameters(EMBEDDER.network, Stream(1, "features"), embedding=True))


@pytest.fixture(scope="module")
def digits() -> Samples:
    return load_dataset("digits").train.take(np.arange(300))


def sums_of(samples: Samples) -> FeatureSums:
    return feature_sums(EMBEDDER, PARAMETERS, samples, SAMPLE)


def by_hand(samples: Samples) -> FeatureSums:
    """One sample after another, in plain numpy."""
    counts, first, second = np.zeros(10), np.zeros((10, 32)), np.zeros((32, 32))
    for value, label in zip(samples.values, samples.labels, strict=True):
        shown = SAMPLE.tensors(value[None], device="cpu", dtype=REFERENCE.sample_dtype)
        phi = EMBEDDER.embed(PARAMETERS, shown)[0].double().numpy()
        counts[label] += 1
        first[label] += phi
        second += np.outer(phi, phi)
    return FeatureSums(counts=counts, first=first, second=second)


def same(found: FeatureSums, expected: FeatureSums, *, close: float = 1e-9) -> None:
    assert np.array_equal(found.counts, expected.counts)
    np.testing.assert_allclose(found.first, expected.first, rtol=close, atol=close)
    np.testing.assert_allclose(found.second, expected.second, rtol=close, atol=close)


def test_sums_equal_those_by_hand_whatever_the_block(digits: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = by_hand(digits)
    for block in (7, 1024):
        monkeypatch.setattr(gram, "_BLOCK", block)
        same(sums_of(digits), expected)


def test_a_sample_is_the_mean_of_its_views(digits: Samples) -> None:
    few = digits.take(np.arange(20))
    mirrored = Samples(values=few.values[..., ::-1].copy(), labels=few.labels, classes=few.classes)
    both = added([sums_of(few), sums_of(mirrored)])
    found = feature_sums(EMBEDDER, PARAMETERS, few, SAMPLE, ("crop", "flip"))
    same(found, FeatureSums(counts=both.counts / 2, first=both.first / 2, second=both.second / 2))
    same(feature_sums(EMBEDDER, PARAMETERS, few, SAMPLE, ("crop",)), sums_of(few))


@settings(max_examples=15, deadline=None)
@given(sites=st.lists(st.integers(0, 3), min_size=300, max_size=300))
def test_sums_of_any_partition_are_those_of_all_data(digits: Samples, sites: list[int]) -> None:
    parts = [digits.take(np.flatnonzero(np.array(sites) == site)) for site in set(sites)]
    same(added(sums_of(part) for part in parts), sums_of(digits))


def test_the_form_that_travels_gives_the_sums_back(digits: Samples) -> None:
    held = digits.take(np.flatnonzero(np.isin(digits.labels, (2, 5))))
    sums = sums_of(held)
    moments = sums.moments()
    assert moments.means.shape == (2, 32)
    assert moments.scatter.shape == (32, 32)
    same(moments.sums(held.counts()), sums)
    # The scatter is that about the means of the classes, as numpy finds it.
    phi = np.concatenate([sums_of(held.take([i])).first.sum(axis=0, keepdims=True) for i in range(len(held))])
    about = phi - moments.means[(held.labels == 5).astype(int)]
    np.testing.assert_allclose(moments.scatter, about.T @ about / len(held), atol=1e-9)


def test_a_client_counts_for_as_much_as_it_may(digits: Samples) -> None:
    moments = sums_of(digits).moments()
    half = moments.sums(digits.counts() // 2)
    np.testing.assert_allclose(half.first, moments.means * (digits.counts() // 2)[:, None])
    np.testing.assert_allclose(half.counts, digits.counts() // 2)


@given(seed=st.integers(0, 999), fours=st.integers(1, 4))
def test_contrasts_are_the_moments_of_turned_features_and_give_them_again(seed: int, fours: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels, d = rng.normal(size=(40, 4 * fours)), np.arange(40) % 3, 4 * fours
    first, second, third, fourth = (features[:, place::4] for place in range(4))
    turned = np.zeros_like(features)
    turned[:, 0::4] = (first + second + third + fourth) / 2
    turned[:, 1::4] = (first - second + third - fourth) / 2
    turned[:, 2::4] = (first + second - third - fourth) / 2
    turned[:, 3::4] = (first - second - third + fourth) / 2

    def moments(rows: np.ndarray) -> FeatureMoments:
        first = np.stack([rows[labels == y].sum(axis=0) for y in range(3)])
        return FeatureSums(counts=np.bincount(labels).astype(float), first=first, second=rows.T @ rows).moments()

    plain, expected = moments(features), moments(turned)
    for found, wanted in ((plain.contrasts(), expected), (plain.contrasts().contrasts(), plain)):
        assert found.scatter.shape == (d, d)
        np.testing.assert_allclose(found.means, wanted.means, atol=1e-12)
        np.testing.assert_allclose(found.scatter, wanted.scatter, atol=1e-12)
