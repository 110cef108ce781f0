"""Batches that are mixed, and rates that follow a cosine, against a plain loop."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collabdm.engine import EAGER, REFERENCE, Engine
from collabdm.kernels import compiler
from collabdm.modality import draw_augmentation
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.loop import train
from collabdm.training.mixing import draw_mixing, shown_part
from collabdm.training.recipes import RECIPES, Recipe
from collabdm.training.training_set import TrainingSet
from interruptions import assert_goes_on
from plain_training import (
    CLASSES,
    RECIPE,
    SEED,
    distance,
    plainly_trained,
    same_parameters,
    targets_for,
    trained,
    training_set,
)

# As `strong`, in seven epochs of three batches.
STRONG = RECIPES["strong"].model_copy(update={"count": 1, "epochs": 7, "batch": 4, "most_samples": None})


def softened(training: TrainingSet) -> TrainingSet:
    return dataclasses.replace(training, targets=targets_for(training.labels, softness=0.5))


@pytest.mark.parametrize(
    ("operations", "soft", "chunk"), [((), False, 3), (("crop", "colour"), True, 1), (("crop",), False, 100)]
)
def test_the_strong_recipe_is_a_plain_loop_s(operations: tuple[str, ...], soft: bool, chunk: int) -> None:
    training = softened(training_set(*operations)) if soft else training_set(*operations)
    found, plain = trained(training, REFERENCE.model_copy(update={"chunk": chunk}), STRONG), plainly_trained
    assert distance(found, plain(training, STRONG)) < 1e-9
    # The comparison would notice a field that is not heeded.
    for field in ("mix", "schedule"):
        other = STRONG.model_copy(update={field: getattr(RECIPE, field)})
        assert distance(found, plain(training, other)) > 1e-4, field


@pytest.mark.parametrize("chance", [0.25, 1.0])
def test_any_recipe_may_mix(chance: float) -> None:
    recipe = RECIPE.model_copy(update={"mix": chance})
    assert distance(trained(training_set("crop"), recipe=recipe), plainly_trained(training_set("crop"), recipe)) < 1e-9


def test_float32_stays_close() -> None:
    assert (
        distance(trained(training_set("scale"), EAGER, STRONG), plainly_trained(training_set("scale"), STRONG)) < 1e-3
    )


@pytest.mark.skipif(compiler() is None, reason="our kernels need a C++ compiler")
@pytest.mark.parametrize("chunk", [3, 4])
def test_our_own_kernels_learn_the_same(chunk: int) -> None:
    own = Engine(kind="compiled", dtype="float32", chunk=chunk)
    width = NetworkSpec(name="convnet", width=32, depth=2)
    first, second = (
        train(training_set("crop"), width, classes=CLASSES, recipe=STRONG, seed=SEED, engine=engine)
        for engine in (own, EAGER)
    )
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-3


# The last batch of an epoch, and the first of the next, lie to both sides of the third write.
@pytest.mark.parametrize("kills", [[1], [2], [3], [4], [13], [20], [1, 1, 1], [5, 7, 8]])
def test_an_interrupted_training_goes_on_to_the_same_bits(kills: list[int], tmp_path: Path) -> None:
    training = training_set("crop", "colour")

    def work(folder: Path) -> dict[str, Tensor]:
        return trained(training, EAGER, STRONG, checkpoint=Checkpoint(folder / "state", "basis"))

    assert_goes_on(work, tmp_path, same_parameters, kills)
    assert same_parameters(work(tmp_path / "fresh"), trained(training, EAGER, STRONG))


@given(st.integers(1, 30), st.integers(0, 100))
def test_a_batch_is_mixed_with_its_own(count: int, seed: int) -> None:
    drawn = draw_mixing(Stream(seed, "mix"), 1.0, count)
    assert drawn is not None
    assert sorted(drawn.partners.tolist()) == list(range(count))
    assert drawn.uniforms.shape == (count, 3)
    assert ((drawn.uniforms >= 0) & (drawn.uniforms < 1)).all()


def test_so_many_batches_are_mixed_as_the_recipe_says() -> None:
    stream = Stream(5, "mix")
    mixed = [draw_mixing(stream, 0.3, 2) is not None for _ in range(2000)]
    assert np.mean(mixed) == pytest.approx(0.3, abs=0.03)
    before = stream.position.tolist()
    assert draw_mixing(stream, 0.0, 2) is None
    assert stream.position.tolist() == before


@given(st.integers(1, 11), st.integers(1, 12), st.integers(0, 5), st.booleans())
def test_parts_are_those_of_the_whole_batch(count: int, chunk: int, seed: int, soft: bool) -> None:
    training = training_set("crop", "flip", "colour")
    training = softened(training) if soft else training.with_targets(CLASSES)
    rows = Stream(seed, "rows").permutation(11)[:count]
    augmentation = draw_augmentation(Stream(seed, "augment"), training.augment, count)
    mixing = draw_mixing(Stream(seed, "mix"), 1.0, count)
    whole = shown_part(training, rows, slice(0, count), augmentation, mixing, REFERENCE)
    starts = range(0, count, chunk)
    parts = [shown_part(training, rows, slice(i, i + chunk), augmentation, mixing, REFERENCE) for i in starts]
    for of_whole, of_parts in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(of_whole, torch.cat(of_parts))
    assert torch.allclose(whole[1].sum(dim=1), torch.ones(count, dtype=whole[1].dtype), atol=1e-6)


def test_targets_of_labels_are_all_on_them() -> None:
    training = training_set()
    made = training.with_targets(CLASSES).targets
    assert made is not None
    assert made.tolist() == [[float(y == label) for y in range(CLASSES)] for label in training.labels.tolist()]
    soft = softened(training)
    assert soft.with_targets(CLASSES) is soft


def test_a_recipe_without_mixing_draws_and_makes_no_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(training: TrainingSet, classes: int) -> TrainingSet:
        raise AssertionError("targets were made")

    monkeypatch.setattr(TrainingSet, "with_targets", refused)
    trained(training_set(), recipe=Recipe(name="x", count=1, epochs=1))
