"""No sample, however strange, moves the sums by more than one; and they are what a slow loop gives."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.data import Samples
from collabdm.engine import REFERENCE
from collabdm.matching.embedding import embedder_for
from collabdm.privacy.summing import bounded_sums, shortened, unit_weights
from collabdm.protocol import Plan, acceptance, feature_parameters
from collabdm.protocol.sum_vector import sum_layout
from private_plan import images, private_plan


def one_by_one(plan: Plan, samples: Samples) -> np.ndarray:
    """The vectors of all samples, [n, size], written out."""
    layout = sum_layout(plan, acceptance(plan))
    assert plan.features is not None
    shown = plan.sample.tensors(samples.values, device="cpu", dtype=torch.float64)
    encoder, map_ = (embedder_for(spec, plan.sample.shape, REFERENCE) for spec in (plan.network, plan.features))
    rows = []
    for i, y in enumerate(samples.labels.tolist()):
        counts = np.zeros(layout.classes)
        counts[y] = layout.weights["counts"]
        means = np.zeros((layout.seeds, layout.classes, layout.width))
        for t in range(layout.seeds):
            augmented = plan.sample.augment(shown[i : i + 1], plan.augmentation(t, y))
            e = encoder.embed(encoder.encoder(plan.encoder_seed(t)), augmented)[0].numpy()
            e = e - e.mean()
            means[t, y] = layout.weights["means"] * e / np.linalg.norm(e)
        phi = map_.embed(map_.placed(feature_parameters(plan)), shown[i : i + 1])[0].numpy()
        phi = phi / np.linalg.norm(phi)
        first, outer = np.zeros((layout.classes, layout.features)), np.outer(phi, phi)
        first[y] = layout.weights["features"] * phi
        upper = [outer[a, b] * (1 if a == b else 2**0.5) for a in range(len(phi)) for b in range(a, len(phi))]
        rows.append(np.concatenate([counts, means.ravel(), first.ravel(), layout.weights["gram"] * np.array(upper)]))
    return np.stack(rows)


def test_the_sums_are_those_of_a_slow_loop() -> None:
    plan = private_plan()
    samples = images(plan, 7)
    vectors = one_by_one(plan, samples)
    np.testing.assert_allclose(bounded_sums(plan, samples, engine=REFERENCE), vectors.sum(axis=0), atol=1e-9)
    lengths = np.linalg.norm(vectors, axis=1)
    assert (lengths <= 1 + 1e-9).all()
    # Nothing of what noise has to hide is given away unused.
    assert (lengths > 0.99).all()


def test_a_group_counts_as_the_mean_of_its_samples() -> None:
    plan = private_plan(privacy={"epsilon": 1.0, "unit": "group"})
    samples = images(plan, 6)
    groups = np.array(["a", "b", "a", "a", "c", "b"])
    vectors = one_by_one(plan, samples)
    expected = sum(vectors[groups == name].mean(axis=0) for name in "abc")
    found = bounded_sums(plan, samples, engine=REFERENCE, groups=groups)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert unit_weights(groups, 6).tolist() == [1 / 3, 0.5, 1 / 3, 1 / 3, 1, 0.5]


PICTURES = st.sampled_from(["black", "white", "one pixel", "stripes", "noise", "faint"])


def picture(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    values = np.zeros(shape, np.uint8)
    if kind == "white":
        values[:] = 255
    elif kind == "one pixel":
        values[0, seed % shape[1], 3] = 255
    elif kind == "stripes":
        values[:, :, ::2] = 255
    elif kind == "noise":
        values[:] = np.random.default_rng(seed).integers(0, 256, shape)
    elif kind == "faint":
        values[:] = 100 + np.random.default_rng(seed).integers(0, 2, shape)
    return values


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(PICTURES, min_size=1, max_size=5), added=PICTURES, label=st.integers(0, 2), seed=st.integers(0, 99)
)
def test_neighbours_differ_by_at_most_one(kinds: list[str], added: str, label: int, seed: int) -> None:
    plan = private_plan(augment=("flip", "colour"))
    values = np.stack([picture(kind, plan.sample.shape, seed + i) for i, kind in enumerate([*kinds, added])])
    labels = np.array([*(i % 3 for i in range(len(kinds))), label])
    more = Samples(values=values, labels=labels, classes=plan.classes)
    less = more.take(np.arange(len(kinds)))
    apart = bounded_sums(plan, more, engine=REFERENCE) - bounded_sums(plan, less, engine=REFERENCE)
    assert np.linalg.norm(apart) <= 1 + 1e-9


@settings(max_examples=15, deadline=None)
@given(kinds=st.lists(PICTURES, min_size=2, max_size=6), seed=st.integers(0, 99))
def test_a_group_moves_the_sums_by_at_most_one_however_many_it_has(kinds: list[str], seed: int) -> None:
    plan = private_plan(privacy={"epsilon": 1.0, "unit": "group"})
    values = np.stack([picture(kind, plan.sample.shape, seed + i) for i, kind in enumerate(kinds)])
    both = Samples(values=values, labels=np.arange(len(kinds)) % 3, classes=plan.classes)
    groups = np.array(["stays"] + ["goes"] * (len(kinds) - 1))
    with_it = bounded_sums(plan, both, engine=REFERENCE, groups=groups)
    without = bounded_sums(plan, both.take([0]), engine=REFERENCE, groups=groups[:1])
    assert np.linalg.norm(with_it - without) <= 1 + 1e-9


def test_a_statistic_that_is_too_long_is_shortened() -> None:
    long = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(shortened(long), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


def test_all_samples_count_whatever_the_batch() -> None:
    plan = private_plan(batch=1)
    samples = images(plan, 9)
    whole = bounded_sums(plan, samples, engine=REFERENCE)
    larger = bounded_sums(private_plan(batch=100), samples, engine=REFERENCE)
    np.testing.assert_allclose(whole, larger)
    split = [samples.take(rows) for rows in (np.arange(4), np.arange(4, 9))]
    parts = sum(bounded_sums(plan, replace(part), engine=REFERENCE) for part in split)
    np.testing.assert_allclose(whole, parts, atol=1e-9)
