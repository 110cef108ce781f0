"""Scores of a set are what its trainings, taken one by one, give."""

import dataclasses
import statistics

import numpy as np
import pytest
import torch

from collabdm.data import Samples, load_dataset
from collabdm.engine import EAGER
from collabdm.errors import DataError
from collabdm.evaluation.networks import Trials, network_results, network_seed
from collabdm.images.modality import Images
from collabdm.judges.families import NearestNeighbours
from collabdm.networks import NetworkSpec
from collabdm.scoring.attacks import usual_attacks
from collabdm.scoring.foreign import ForeignSet
from collabdm.scoring.formulas import augmentation_robust, label_robust
from collabdm.scoring.scores import Asked, scored
from collabdm.scoring.sets import Source, plain, random_rows
from collabdm.training.loop import logits, train
from collabdm.training.recipes import Recipe

SPEC = NetworkSpec(name="convnet", width=8, depth=1)
RECIPE = Recipe(name="short", count=2, epochs=6, lr=0.05)


@pytest.fixture(scope="module")
def digits() -> tuple[Samples, Samples]:
    data = load_dataset("digits")
    return data.train, data.test.take(range(120))


@pytest.fixture(scope="module")
def source(digits: tuple[Samples, Samples]) -> Source:
    train_part, _ = digits
    sample = Images.declared({"shape": (1, 8, 8), "mean": (0.5,), "std": (0.5,)}, "auto")
    rows = random_rows(train_part, [2] * 9 + [3], 7, 0)
    labels = torch.from_numpy(train_part.labels[rows])
    foreign = ForeignSet(
        source="a set",
        samples=sample.tensors(train_part.values[rows], device="cpu", dtype=torch.float32),
        labels=labels,
        targets=0.9 * torch.nn.functional.one_hot(labels, 10).float() + 0.01,
    )
    return Source(foreign=foreign, train=train_part, sample=sample, augment=("crop", "scale"))


@pytest.fixture(scope="module")
def trials() -> Trials:
    return Trials(networks=[SPEC, NearestNeighbours()], recipe=RECIPE, seed=3, engine=EAGER)


ASKED = Asked(full_shown=3000, attacks=True, attacked=50)


@pytest.fixture(scope="module")
def found(source: Source, digits: tuple[Samples, Samples], trials: Trials) -> dict:
    return scored(source, digits[1], trials, ASKED)


def test_every_accuracy_is_that_of_its_training(
    found: dict, source: Source, digits: tuple[Samples, Samples], trials: Trials
) -> None:
    test, only = digits[1], dataclasses.replace(trials, networks=[SPEC])
    for name, training in {
        "hard labels": source.own(),
        "soft labels": source.own(soft=True),
        "soft labels, no augmentation": plain(source.own(soft=True)),
    }.items():
        expected = [one.accuracy for one in network_results(training, test, only)]
        assert found["accuracy"][name]["convnet"]["runs"] == expected
        assert found["accuracy"][name]["convnet"]["mean"] == pytest.approx(statistics.fmean(expected))
    second = random_rows(source.train, [2] * 9 + [3], trials.seed, 1)
    one = dataclasses.replace(only, first=1, recipe=RECIPE.model_copy(update={"count": 1}))
    expected = [one.accuracy for one in network_results(source.random(second), test, one)]
    assert found["accuracy"]["random real"]["convnet"]["runs"][1:] == expected
    # 3000 samples shown of 1297 are two epochs; it is network 0 of the kind that labels random samples softly.
    seed, recipe = network_seed(trials.seed, SPEC, 0), RECIPE.model_copy(update={"epochs": 2})
    teacher = train(source.all_data(), SPEC, classes=10, recipe=recipe, seed=seed, engine=EAGER)
    values = source.train.values[second]
    said = logits(teacher, values, SPEC, classes=10, sample=source.sample, engine=EAGER).softmax(dim=1)
    expected = [one.accuracy for one in network_results(source.random(second, said), test, one)]
    assert found["accuracy"]["random real, soft labels"]["convnet"]["runs"][1:] == expected


def test_scores_follow_from_the_accuracies(found: dict) -> None:
    accuracy = {name: of["convnet"]["runs"] for name, of in found["accuracy"].items()}
    (full,) = accuracy["all data"]
    soft, random = accuracy["soft labels"], accuracy["random real, soft labels"]
    pairs = zip(accuracy["hard labels"], soft, random, strict=True)
    expected = [label_robust(full_hard=full, set_hard=h, set_any=s, random_any=r).lrs for h, s, r in pairs]
    assert found["scores"]["convnet"]["lrs_soft"]["lrs"]["runs"] == pytest.approx(expected)
    plains = (accuracy["soft labels, no augmentation"], accuracy["random real, soft labels, no augmentation"])
    fours = zip(soft, random, *plains, strict=True)
    expected = [
        augmentation_robust(set_augmented=a, random_augmented=b, set_plain=c, random_plain=d).ars
        for a, b, c, d in fours
    ]
    assert found["scores"]["convnet"]["ars"]["ars"]["runs"] == pytest.approx(expected)
    assert found["scores"]["convnet"]["ars"]["labels"] == "soft labels"


def test_judges_learn_once_of_the_set_and_of_every_draw(found: dict) -> None:
    accuracy = {name: of["knn"]["runs"] for name, of in found["accuracy"].items() if "knn" in of}
    assert {name: len(runs) for name, runs in accuracy.items()} == {
        "all data": 1,
        "hard labels": 1,
        "soft labels": 1,
        "random real": 2,
    }
    assert set(found["scores"]["knn"]) == {"lrs_hard"}
    assert len(found["scores"]["knn"]["lrs_hard"]["lrs"]["runs"]) == 2


def test_attacks_are_on_networks_of_the_set_and_of_random_samples(found: dict) -> None:
    assert {name: list(of) for name, of in found["attacks"].items()} == {
        "soft labels": ["convnet"],
        "random real": ["convnet"],
    }
    for of in found["attacks"].values():
        assert list(of["convnet"]) == [attack.label for attack in usual_attacks()]
        assert of["convnet"]["fgsm 8/255"] <= of["convnet"]["as they are"]


def test_without_all_data_there_is_no_label_robust_score_but_by_a_stated_accuracy(
    source: Source, digits: tuple[Samples, Samples], trials: Trials
) -> None:
    hard = dataclasses.replace(source, foreign=dataclasses.replace(source.foreign, targets=None))
    short = dataclasses.replace(trials, networks=[SPEC], recipe=RECIPE.model_copy(update={"count": 1, "epochs": 1}))
    without = scored(hard, digits[1], short, Asked(full_shown=0))
    assert set(without["scores"]["convnet"]) == {"ars"}
    assert "attacks" not in without
    stated = scored(hard, digits[1], short, Asked(full_shown=0, full_accuracy=0.9))["scores"]["convnet"]["lrs_hard"]
    own = without["accuracy"]["hard labels"]["convnet"]["mean"]
    assert stated["hlr"]["mean"] == pytest.approx(0.9 - own)


def test_random_rows_have_the_classes_of_the_set_and_differ_by_draw(source: Source) -> None:
    counts = [2] * 9 + [3]
    first, second = (random_rows(source.train, counts, 0, draw) for draw in (0, 1))
    for rows in (first, second):
        assert np.bincount(source.train.labels[rows], minlength=10).tolist() == counts
        assert len(set(rows.tolist())) == 21
    assert set(first.tolist()) != set(second.tolist())
    with pytest.raises(DataError, match=r"got \d+ of 0; expected at least 100000"):
        random_rows(source.train, [100_000] + [0] * 9, 0, 0)


def test_all_data_are_shown_as_asked_but_no_longer_than_the_recipe_says() -> None:
    asked = Asked(full_shown=3000)
    assert [asked.epochs(size, RECIPE) for size in (10_000, 1500, 1000, 10)] == [1, 2, 3, 6]
