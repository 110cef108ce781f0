"""Training against a plain torch loop, and testing against a plain count."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from collabdm.data import Samples
from collabdm.engine import EAGER, REFERENCE, Engine
from collabdm.images.augment import OPERATIONS
from collabdm.images.pixels import Normalisation
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training import loop
from collabdm.training.loop import train
from collabdm.training.testing import Voter
from collabdm.training.testing import test_accuracy as accuracy_on
from collabdm.training.training_set import TrainingSet
from interruptions import assert_goes_on
from plain_training import (
    CLASSES,
    RECIPE,
    SAMPLE,
    SEED,
    SHAPE,
    distance,
    plain_network,
    plainly_trained,
    same_parameters,
    targets_for,
    trained,
    training_set,
)
from tiny_runs import TINY_NETWORK


@pytest.mark.parametrize("operations", [(), ("crop", "rotate"), tuple(OPERATIONS)])
def test_the_recipe_is_a_plain_loop_s(operations: tuple[str, ...]) -> None:
    training = training_set(*operations)
    plain = plainly_trained(training, RECIPE)
    parameters = trained(training)
    assert all(value.dtype == torch.float64 and not value.requires_grad for value in parameters.values())
    assert distance(parameters, plain) < 1e-9
    assert distance(parameters, plain_network()) > 1e-2
    # The comparison would notice another order of things.
    assert distance(trained(training, recipe=RECIPE.model_copy(update={"epochs": 6})), plain) > 1e-6


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("operations", [(), ("crop", "colour")])
def test_targets_are_learnt_as_in_a_plain_loop(operations: tuple[str, ...], chunk: int) -> None:
    labelled = training_set(*operations)
    training = dataclasses.replace(labelled, targets=targets_for(labelled.labels, softness=0.5))
    engine, plain = REFERENCE.model_copy(update={"chunk": chunk}), plainly_trained(training, RECIPE)
    assert distance(trained(training, engine), plain) < 1e-9
    # Labels would have been another thing to learn, and the targets win over them.
    assert distance(trained(labelled, engine), plain) > 1e-3
    assert distance(trained(dataclasses.replace(training, labels=labelled.labels.flip(0)), engine), plain) < 1e-9


@pytest.mark.parametrize("engine", [REFERENCE, EAGER], ids=["f64", "f32"])
def test_targets_of_one_class_are_its_label(engine: Engine) -> None:
    labelled = training_set("crop", "rotate")
    first = trained(labelled, engine)
    second = trained(dataclasses.replace(labelled, targets=targets_for(labelled.labels)), engine)
    assert first.keys() == second.keys()
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-5


def test_the_loss_of_targets_is_the_mean_cross_entropy() -> None:
    labelled, told = training_set(), list[float]()
    targets = targets_for(labelled.labels, softness=0.5)
    one_batch = RECIPE.model_copy(update={"batch": 100, "epochs": 1})
    training = dataclasses.replace(labelled, targets=targets)
    trained(training, recipe=one_batch, tell=lambda epoch, epochs, loss: told.append(loss))
    assert isinstance(training.samples, Tensor)
    logarithms = plain_network()(training.samples.double()).log_softmax(dim=1)
    assert told == [pytest.approx(-(targets.double() * logarithms).sum(dim=1).mean().item(), rel=1e-9)]


@pytest.mark.parametrize("soft", [False, True])
def test_what_fills_up_a_chunk_is_not_learnt(soft: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for torch's compiler, which wants whole chunks."""
    training = training_set("crop")
    training = dataclasses.replace(training, targets=targets_for(training.labels, softness=0.5)) if soft else training
    plain = plainly_trained(training, RECIPE)
    sizes: list[int] = []

    def filled(samples: Tensor, engine: Engine) -> Tensor:
        sizes.append(len(samples))
        return torch.cat([samples, samples.new_ones(engine.chunk - len(samples), *samples.shape[1:])])

    monkeypatch.setattr(loop, "padded", filled)
    assert distance(trained(training, REFERENCE.model_copy(update={"chunk": 3})), plain) < 1e-9
    assert set(sizes) == {1, 3}


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_the_rate_falls_after_half_time(epochs: int) -> None:
    recipe = RECIPE.model_copy(update={"epochs": epochs})
    assert distance(trained(training_set(), recipe=recipe), plainly_trained(training_set(), recipe)) < 1e-9


@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_chunks_do_not_matter(chunk: int) -> None:
    engine = REFERENCE.model_copy(update={"chunk": chunk})
    assert distance(trained(training_set("cutout"), engine), plainly_trained(training_set("cutout"), RECIPE)) < 1e-9


def test_float32_stays_close_and_repeats_itself() -> None:
    first, again = trained(training_set("scale"), EAGER), trained(training_set("scale"), EAGER)
    assert all(value.dtype == torch.float32 for value in first.values())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert distance(first, plainly_trained(training_set("scale"), RECIPE)) < 1e-3


def test_real_samples_train_as_their_normalised_pixels(make_samples: Callable[..., Samples]) -> None:
    samples = make_samples([4, 4, 3], SHAPE)
    labels = torch.from_numpy(samples.labels)
    pixels = (torch.from_numpy(samples.values).double() / 255 - 0.4) / 0.3
    real, ready = (
        TrainingSet(samples=images, labels=labels, sample=SAMPLE, augment=("colour",)) for images in (samples, pixels)
    )
    first, second = trained(real), trained(ready)
    assert all((first[name] - second[name]).abs().max() < 1e-12 for name in first)


def test_the_loss_told_is_the_mean_over_the_samples() -> None:
    told: list[tuple[int, int, float]] = []
    one_batch = RECIPE.model_copy(update={"batch": 100, "epochs": 2})
    trained(training_set(), recipe=one_batch, tell=lambda *facts: told.append(facts))
    assert [(epoch, epochs) for epoch, epochs, _ in told] == [(1, 2), (2, 2)]
    training = training_set()
    assert isinstance(training.samples, Tensor)
    first = nn.CrossEntropyLoss()(plain_network()(training.samples.double()), training.labels)
    assert told[0][2] == pytest.approx(first.item(), rel=1e-9)
    assert told[1][2] < told[0][2]


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_accuracy_is_a_plain_count(make_samples: Callable[..., Samples], chunk: int) -> None:
    samples = make_samples([10, 0, 7, 4], SHAPE, seed=5)
    network = build_network(TINY_NETWORK, SHAPE, 4)
    parameters = initial_parameters(network, Stream(2, "any"))
    engine = REFERENCE.model_copy(update={"chunk": chunk})
    overall, per_class, macro_f1, confusion = accuracy_on(
        (Voter(network=TINY_NETWORK, parameters=parameters),), samples, SAMPLE, engine
    )
    plain = plain_like(parameters)
    pixels = (torch.from_numpy(samples.values).double() / 255 - 0.4) / 0.3
    said = [int(plain(image[None]).argmax()) for image in pixels]
    hits = [sum(guess == label == y for guess, label in zip(said, samples.labels, strict=True)) for y in range(4)]
    assert 0 < sum(hits) < len(samples)
    assert overall == sum(hits) / 21
    assert per_class == (hits[0] / 10, None, hits[2] / 7, hits[3] / 4)
    pairs = list(zip(samples.labels.tolist(), said, strict=True))
    assert confusion == tuple(tuple(pairs.count((y, guess)) for guess in range(4)) for y in range(4))
    assert macro_f1 == pytest.approx(f1_score(samples.labels, said, average="macro"))


def plain_like(parameters: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """The forward pass of these parameters, by functional calls."""

    def forward(images: Tensor) -> Tensor:
        p = {name: value.double() for name, value in parameters.items()}
        for layer in (0, 4):
            images = nn.functional.conv2d(images, p[f"body.{layer}.weight"], p[f"body.{layer}.bias"], padding=1)
            images = nn.functional.instance_norm(
                images, weight=p[f"body.{layer + 1}.weight"], bias=p[f"body.{layer + 1}.bias"]
            )
            images = nn.functional.avg_pool2d(images.relu(), 2)
        return nn.functional.linear(images.flatten(1), p["classifier.weight"], p["classifier.bias"])

    return forward


def test_another_architecture_trains_too() -> None:
    spec = NetworkSpec(name="alexnet")
    recipe = RECIPE.model_copy(update={"epochs": 1, "batch": 11})
    parameters = train(training_set(), spec, classes=CLASSES, recipe=recipe, seed=SEED, engine=EAGER)
    before = initial_parameters(build_network(spec, SHAPE, CLASSES), Stream(SEED, "network"))
    assert set(parameters) == set(before)
    assert all(not torch.equal(parameters[name], before[name]) for name in before if name.endswith("weight"))


# Seven epochs of three batches; the rate falls, and the momentum starts anew, before the thirteenth step.
KILLS = [[1], [2], [3], [4], [8], [11], [12], [13], [14], [20], [21], [1, 1, 1], [5, 7, 8]]


@pytest.mark.parametrize(("kills", "soft"), [*((kills, False) for kills in KILLS), ([4], True)])
def test_an_interrupted_training_goes_on_to_the_same_bits(kills: list[int], soft: bool, tmp_path: Path) -> None:
    training = training_set("crop", "colour")
    training = dataclasses.replace(training, targets=targets_for(training.labels, softness=0.5)) if soft else training
    told: list[tuple[int, int, float]] = []

    def work(folder: Path) -> dict[str, Tensor]:
        told.clear()
        checkpoint = Checkpoint(folder / "state", "basis")
        return trained(training, EAGER, checkpoint=checkpoint, tell=lambda *facts: told.append(facts))

    assert_goes_on(work, tmp_path, same_parameters, kills)
    left = list(told)
    assert same_parameters(work(tmp_path / "fresh"), trained(training, EAGER))
    # An epoch's loss counts the batches before the interruption too.
    assert left == told[len(told) - len(left) :]


def test_a_set_s_digest_is_of_all_that_training_sees(make_samples: Callable[..., Samples]) -> None:
    first, samples = training_set("crop"), make_samples([3, 3])
    assert isinstance(first.samples, Tensor)
    moved = first.samples.clone()
    moved[0, 0, 0, 0] += 1e-6
    sets = [
        first,
        dataclasses.replace(first, samples=moved),
        dataclasses.replace(first, labels=first.labels.flip(0)),
        dataclasses.replace(first, augment=()),
        dataclasses.replace(
            first, sample=SAMPLE.model_copy(update={"normalisation": Normalisation(mean=(0.5,), std=(0.3,))})
        ),
        dataclasses.replace(first, samples=samples),
        *(dataclasses.replace(first, targets=targets_for(first.labels, softness=share)) for share in (0.0, 0.5, 0.6)),
    ]
    assert len({one.digest() for one in sets}) == len(sets)
    assert training_set("crop").digest() == first.digest()
