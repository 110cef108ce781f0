"""The judge `rocket-ridge`: ridge regression, by its closed form, on the features of the network `rocket`."""

import dataclasses

import numpy as np
import pytest
import torch

from collabdm import evaluate
from collabdm.config import load_config
from collabdm.data import Dataset, load_dataset
from collabdm.distilled import DistilledSet
from collabdm.engine import EAGER
from collabdm.errors import ConfigError
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.networks import network_seed
from collabdm.judges.rocket_ridge import RocketRidge
from collabdm.judges.trial import judge_trial
from collabdm.networks import NetworkSpec, applied, build_network, initial_parameters
from collabdm.planning import networks_tested, sample_for
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES

FEW = RocketRidge(kernels=64, penalty=0.5)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load_dataset("series:digits", modality="series")
    return dataclasses.replace(whole, test=whole.test.take(np.arange(150)))


@pytest.fixture(scope="module")
def a_set(digits: Dataset) -> DistilledSet:
    rows = np.concatenate([digits.train.of_class(y)[:6] for y in range(10)])
    sample = sample_for(load_config(settings=["modality=series"]), digits.preset)
    return DistilledSet(
        samples=sample.tensors(digits.train.values[rows], device="cpu", dtype=torch.float32),
        labels=torch.from_numpy(digits.train.labels[rows]),
        classes=digits.train.classes,
        sample=sample,
        augment=("shift",),
        method="random-real",
        facts={},
    )


def test_it_is_the_closed_form_on_the_features_of_the_network(a_set: DistilledSet, digits: Dataset) -> None:
    network = build_network(NetworkSpec(name="rocket", width=64), (8, 8), 10)
    stream = Stream(network_seed(0, FEW, 0) % 2**32, "rocket-ridge")
    parameters = initial_parameters(network, stream, embedding=True)
    features = applied(network, threads=False)
    test = a_set.sample.tensors(digits.test.values, device="cpu", dtype=torch.float32)
    learned, tested = (features(parameters, x, embedding=True).double().numpy() for x in (a_set.samples, test))
    targets = np.where(a_set.labels.numpy()[:, None] == np.arange(10), 1.0, -1.0)
    centred, offset = learned - learned.mean(axis=0), targets.mean(axis=0)
    weight = np.linalg.solve(centred.T @ centred + 0.5 * np.eye(128), centred.T @ (targets - offset))
    said = ((tested - learned.mean(axis=0)) @ weight + offset).argmax(axis=1)
    recipe = RECIPES["fast"].model_copy(update={"count": 1})
    (found,) = evaluate(a_set, digits.test, networks=FEW, recipe=recipe, engine=EAGER).networks
    assert found.accuracy == (said == digits.test.labels).mean()
    assert found.accuracy > 0.6
    assert found.network == "rocket-ridge kernels=64 penalty=0.5"


def test_threads_and_chunks_change_nothing_and_the_seed_does(a_set: DistilledSet, digits: Dataset) -> None:
    test = digits.test.take(np.arange(1500) % len(digits.test))
    one, three, other = (
        judge_trial(FEW, training_set(a_set), test, seed=seed, threads=threads)
        for seed, threads in ((5, 1), (5, 3), (6, 1))
    )
    assert one == three
    assert one.accuracy != other.accuracy
    alone = judge_trial(FEW, training_set(a_set), digits.test, seed=5, threads=1)
    assert alone.accuracy == pytest.approx(one.accuracy)


def test_it_runs_as_often_as_the_recipe_says(a_set: DistilledSet, digits: Dataset) -> None:
    found = evaluate(a_set, digits.test, networks=FEW, engine=EAGER).networks
    assert [one.index for one in found] == [0, 1, 2]


def test_one_class_or_one_series_of_each_is_enough(a_set: DistilledSet, digits: Dataset) -> None:
    def learned_from(rows: torch.Tensor, told: list[str]) -> float:
        few = dataclasses.replace(training_set(a_set), samples=a_set.samples[rows], labels=a_set.labels[rows])
        return judge_trial(FEW, few, digits.test, seed=0, threads=1, tell=told.append).accuracy

    told: list[str] = []
    assert learned_from(torch.arange(0, 60, 6), told) > 0.3
    assert told == []
    assert learned_from(torch.arange(6), told) == pytest.approx((digits.test.labels == 0).mean())
    assert told == [f"{FEW.label}: the set has a single class, which it says of every sample"]


def test_what_is_no_series_is_refused_before_anything_is_computed() -> None:
    images = load_config(settings=["evaluate.networks=convnet,rocket-ridge"])
    with pytest.raises(ConfigError, match=r"^samples of rocket-ridge: got \[1, 8, 8\]; expected series \[C, L\]; fix"):
        networks_tested(images, load_dataset("digits").preset)
