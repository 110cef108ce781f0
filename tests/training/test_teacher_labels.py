"""A teacher's labels of what is shown: against plain torch, on resume, and in the digest."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.engine import REFERENCE
from collabdm.errors import ConfigError
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.networks.base import applied
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.loop import train
from collabdm.training.mixing import draw_mixing, shown_part
from collabdm.training.recipes import Recipe
from collabdm.training.teacher_labels import TeacherLabels
from collabdm.training.training_set import TrainingSet
from interruptions import assert_goes_on

SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
SPEC = NetworkSpec(name="patches", width=4)
TAUGHT = Recipe(name="short", count=1, epochs=3, batch=8, mix=0.5, teacher=0.5)
RECIPE = Recipe(name="short", count=1, epochs=3, batch=8, mix=0.5)


def teacher(share: float) -> TeacherLabels:
    network = build_network(SPEC, SAMPLE.shape, 3)
    parameters = initial_parameters(network, Stream(3, "teacher"))
    return TeacherLabels(network=SPEC, parameters=parameters, share=share)


def training(share: float | None = 0.0) -> TrainingSet:
    return TrainingSet(
        samples=torch.from_numpy(Stream(1, "samples").uniform((20, 1, 8, 8), -1, 1)),
        labels=torch.arange(20) % 3,
        sample=SAMPLE,
        augment=("crop", "scale"),
        teacher=None if share is None else teacher(share),
    )


@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_targets_are_the_teachers_belief_about_what_is_shown(mix: float) -> None:
    given = training(0.7).with_targets(3).placed(REFERENCE)
    plain = dataclasses.replace(given, teacher=None)
    rows, mixing = np.array([4, 0, 7, 2, 9]), draw_mixing(Stream(2, "mix"), mix, 5)
    part = slice(1, 4)
    shown, wanted = shown_part(plain, rows, part, None, mixing, REFERENCE)
    again, found = shown_part(given, rows, part, None, mixing, REFERENCE)
    assert torch.equal(shown, again)
    network = build_network(SPEC, SAMPLE.shape, 3)
    parameters = {name: value.double() for name, value in teacher(0.7).parameters.items()}
    said = functional.softmax(applied(network, threads=False)(parameters, shown), dim=1)
    torch.testing.assert_close(found, 0.7 * said + 0.3 * wanted)


def test_without_a_share_it_is_training_on_labels() -> None:
    def trained(given: TrainingSet, share: float) -> dict[str, Tensor]:
        recipe, network = RECIPE.model_copy(update={"teacher": share}), NetworkSpec(width=4, depth=1)
        return train(given, network, classes=3, recipe=recipe, seed=1, engine=REFERENCE)

    plain, none, half = trained(training(None), 0.0), trained(training(), 0.0), trained(training(), 0.5)
    for name, value in plain.items():
        assert torch.equal(none[name], value)
    assert any(not torch.allclose(half[name], value) for name, value in plain.items())


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def work(folder: Path) -> dict[str, Tensor]:
        checkpoint = Checkpoint(folder / "state", "basis")
        network = NetworkSpec(width=4, depth=1)
        return train(training(0.5), network, classes=3, recipe=RECIPE, seed=1, engine=REFERENCE, checkpoint=checkpoint)

    def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
        return all(torch.equal(one[name], other[name]) for name in one)

    assert_goes_on(work, tmp_path, same, [2])


def test_a_recipe_with_a_teacher_needs_one() -> None:
    with pytest.raises(ConfigError, match="teacher of the set: got none; expected one, as the recipe says; fix: "):
        train(training(None), NetworkSpec(width=4, depth=1), classes=3, recipe=TAUGHT, seed=1, engine=REFERENCE)
    path: Any = "runs/first"
    with pytest.raises(ConfigError, match="teacher of the set: got a str; expected one, as the recipe says; fix: "):
        dataclasses.replace(training(None), teacher=path).check_teacher(TAUGHT, 3)


@pytest.mark.parametrize(
    ("shape", "classes", "got"),
    [((3, 8, 8), 3, "body"), ((1, 8, 8), 4, r"classifier.bias \[3\]; expected classifier.bias \[4\]")],
)
def test_a_teacher_for_other_samples_or_classes_is_refused(shape: tuple[int, ...], classes: int, got: str) -> None:
    teacher(0.5).check((1, 8, 8), 3)
    with pytest.raises(ConfigError, match=f"teacher of the set: got .*{got}"):
        teacher(0.5).check(shape, classes)


def test_the_digest_tells_teachers_apart() -> None:
    digests = {training(share).digest() for share in (None, 0.0, 0.5)}
    other = training(0.5)
    assert other.teacher is not None
    moved = dict(other.teacher.parameters) | {"classifier.bias": other.teacher.parameters["classifier.bias"] + 1}
    changed = dataclasses.replace(other, teacher=dataclasses.replace(other.teacher, parameters=moved))
    assert len(digests | {changed.digest()}) == 4
