"""Classical judges: each is the scikit-learn model called by hand, on any number of threads."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from collabdm import evaluate
from collabdm.config import config_toml, load_config
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.distilled import DistilledSet
from collabdm.engine import EAGER, Engine
from collabdm.errors import ConfigError
from collabdm.evaluation.judging import training_set
from collabdm.evaluation.networks import Trials, network_results, network_seed
from collabdm.judges.base import JudgeSpec
from collabdm.judges.families import Boosting, Forest, Logistic, NearestNeighbours, Ridge
from collabdm.judges.table import JUDGES, described, judge_in
from collabdm.judges.trial import judge_trial
from collabdm.networks import NetworkSpec
from collabdm.planning import networks_tested, sample_for, work_of
from collabdm.progress import Event
from collabdm.randomness import Stream
from collabdm.training.recipes import RECIPES
from collabdm.training.training_set import TrainingSet

PER_CLASS = 6
# The others take series alone, and have tests of their own.
FLAT = [name for name, kind in JUDGES.items() if kind.flat]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load_dataset("digits")
    return dataclasses.replace(whole, test=whole.test.take(np.arange(150)))


@pytest.fixture(scope="module")
def a_set(digits: Dataset) -> DistilledSet:
    """Real samples, in random order and with an augmentation that judges must not see."""
    rows = np.concatenate([digits.train.of_class(y)[:PER_CLASS] for y in range(10)])
    rows = rows[Stream(0, "order").permutation(len(rows))]
    sample = sample_for(load_config(), digits.preset)
    return DistilledSet(
        samples=sample.tensors(digits.train.values[rows], device="cpu", dtype=torch.float32),
        labels=torch.from_numpy(digits.train.labels[rows]),
        classes=digits.train.classes,
        sample=sample,
        augment=("crop",),
        method="random-real",
        facts={},
    )


def judge(name: str) -> JudgeSpec:
    spec = judge_in(name)
    assert isinstance(spec, JudgeSpec)
    return spec


def by_hand(spec: JudgeSpec, seed: int) -> Any:
    # Half of the six samples of a class.
    boosting: dict[str, Any] = {"max_iter": 100, "min_samples_leaf": 3, "early_stopping": False}
    made: dict[str, Any] = {
        "logistic": LogisticRegression(C=1.0, max_iter=500),
        "ridge": RidgeClassifier(alpha=1.0),
        "knn": KNeighborsClassifier(1),
        "forest": RandomForestClassifier(300, random_state=seed % 2**32),
        "boosting": HistGradientBoostingClassifier(**boosting, random_state=seed % 2**32),
    }
    return made[spec.name]


def flat(values: np.ndarray) -> np.ndarray:
    """As the preset of digits normalises them: (pixel / 255 - 0.5) / 0.5."""
    return (values.reshape(len(values), -1).astype(np.float64) / 255 - 0.5) / 0.5


@pytest.mark.parametrize("name", FLAT)
def test_a_judge_is_the_model_called_by_hand(name: str, a_set: DistilledSet, digits: Dataset) -> None:
    spec = judge(name)
    (found,) = evaluate(a_set, digits.test, networks=name, recipe=one_run(), engine=EAGER).networks
    model = by_hand(spec, network_seed(0, spec, 0)).fit(a_set.samples.flatten(1).numpy(), a_set.labels.numpy())
    right = model.predict(flat(digits.test.values)) == digits.test.labels
    # A sample of 150 may be so near to a border that float32 and float64 part.
    assert found.accuracy == pytest.approx(right.mean(), abs=0.01)
    assert found.accuracy > 0.5
    assert (found.network, found.index, found.diverged) == (name, 0, False)
    assert np.sum(found.confusion or ()) == len(digits.test)


def one_run() -> Any:
    return RECIPES["fast"].model_copy(update={"count": 1})


@pytest.mark.parametrize("name", FLAT)
def test_threads_change_nothing(name: str, digits: Dataset, a_set: DistilledSet) -> None:
    # Enough test samples for several chunks.
    test = digits.test.take(np.arange(2500) % len(digits.test))
    found = [judge_trial(judge(name), training_set(a_set), test, seed=5, threads=threads) for threads in (1, 3)]
    assert found[0] == found[1]


def test_one_that_draws_nothing_runs_once_and_others_as_often_as_the_recipe_says(
    a_set: DistilledSet, digits: Dataset
) -> None:
    few = Forest(trees=3)
    found = evaluate(a_set, digits.test, networks=["knn", few, "ridge"], engine=EAGER).networks
    assert [(one.network, one.index) for one in found] == [
        ("knn", 0),
        *(("forest trees=3", i) for i in range(3)),
        ("ridge", 0),
    ]
    assert len({one.accuracy for one in found[1:4]}) > 1
    again = evaluate(a_set, digits.test, networks=["knn", few, "ridge"], engine=EAGER).networks
    assert again == found


def test_real_samples_are_learned_as_networks_see_them(digits: Dataset) -> None:
    train = digits.train.take(np.arange(500))
    sample = sample_for(load_config(), digits.preset)
    whole = TrainingSet(samples=train, labels=torch.from_numpy(train.labels), sample=sample, augment=())
    found = judge_trial(NearestNeighbours(), whole, digits.test, seed=0, threads=1)
    distances = ((flat(digits.test.values)[:, None] - flat(train.values)[None]) ** 2).sum(axis=2)
    assert found.accuracy == pytest.approx((train.labels[distances.argmin(axis=1)] == digits.test.labels).mean())


def test_tiles_are_expanded_before(a_set: DistilledSet, digits: Dataset) -> None:
    tiled = dataclasses.replace(a_set, tiles=2)
    assert training_set(tiled).samples.shape[0] == 4 * len(a_set)
    found = evaluate(tiled, digits.test, networks="knn", engine=EAGER).networks[0]
    full = tiled.expanded()
    model = KNeighborsClassifier(1).fit(full.samples.flatten(1).numpy(), full.labels.numpy())
    right = model.predict(flat(digits.test.values)) == digits.test.labels
    assert found.accuracy == pytest.approx(right.mean(), abs=0.01)


def told_by(training: TrainingSet, test: Samples, *specs: JudgeSpec, recipe: str = "fast") -> list[str]:
    lines: list[Event] = []
    trials = Trials(networks=specs, recipe=RECIPES[recipe], seed=0, engine=EAGER)
    list(network_results(training, test, trials, report=lines.append))
    return [event.message for event in lines if event.message]


def test_what_is_not_as_the_settings_say_is_told(a_set: DistilledSet, digits: Dataset) -> None:
    training = training_set(a_set)
    assert told_by(training, digits.test, NearestNeighbours(neighbours=99)) == [
        "knn neighbours=99: all 60 samples of the set are neighbours, as there are no more"
    ]
    (line,) = told_by(training, digits.test, Logistic(steps=2))
    # The words between are scikit-learn's, and differ from version to version.
    assert line.startswith("logistic steps=2: lbfgs failed to converge")
    assert line.endswith("; it is taken as it is")
    soft = dataclasses.replace(training, targets=torch.full((60, 10), 0.1))
    said = "ridge, knn: learns from the labels of the set, not from the set's soft targets"
    assert told_by(soft, digits.test, Ridge(), NearestNeighbours()) == [said]
    taught = "ridge: learns from the labels of the set, not from the teacher's targets"
    assert told_by(training, digits.test, Ridge(), recipe="taught") == [taught]
    alone = "is tested without the teacher beside it"
    assert told_by(training, digits.test, Ridge(), recipe="together") == [f"ridge: {alone}"]
    assert told_by(soft, digits.test, Ridge(), recipe="together") == [f"{said.replace(', knn', '')}, and {alone}"]


@pytest.mark.parametrize("name", FLAT)
def test_a_set_of_one_class_says_that_class(name: str, a_set: DistilledSet, digits: Dataset) -> None:
    rows = (a_set.labels == 3).nonzero().flatten()
    lonely = dataclasses.replace(training_set(a_set), samples=a_set.samples[rows], labels=a_set.labels[rows])
    told: list[str] = []
    found = judge_trial(judge(name), lonely, digits.test, seed=0, threads=1, tell=told.append)
    assert found.accuracy == pytest.approx((digits.test.labels == 3).mean())
    assert told == [f"{name}: the set has a single class, which it says of every sample"]


@pytest.mark.parametrize("name", FLAT)
def test_one_sample_a_class_is_enough(name: str, a_set: DistilledSet, digits: Dataset) -> None:
    rows = [int((a_set.labels == y).nonzero()[0]) for y in range(10)]
    single = dataclasses.replace(training_set(a_set), samples=a_set.samples[rows], labels=a_set.labels[rows])
    assert judge_trial(judge(name), single, digits.test, seed=0, threads=1).accuracy > 0.2


def test_names_and_tables_in_settings(digits: Dataset) -> None:
    given = 'evaluate.networks=["knn", {name="forest", trees=7}, {name="convnet", width=8}]'
    config = load_config(settings=[given])
    expected = (NearestNeighbours(), Forest(trees=7), NetworkSpec(name="convnet", width=8))
    assert config.evaluate.networks == expected
    assert load_config(settings=["evaluate.networks=knn, convnet"]).evaluate.networks == (expected[0], NetworkSpec())
    assert [described(spec) for spec in expected[:2]] == ["knn neighbours=1", "forest trees=7"]
    # Judges are no networks of the work that an engine is chosen for.
    assert networks_tested(config, digits.preset)[:2] == expected[:2]
    alone = load_config(settings=["evaluate.networks=knn,ridge", "method=full-data"])
    assert work_of(alone, digits.preset) == 0


def test_settings_are_read_back(tmp_path: Any) -> None:
    file = tmp_path / "config.toml"
    config = load_config(settings=['evaluate.networks=[{name="boosting", lr=0.3}, "alexnet"]'])
    file.write_bytes(config_toml(config))
    assert load_config(file=file) == config
    assert config.evaluate.networks == (Boosting(lr=0.3), NetworkSpec(name="alexnet"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "evaluate.networks=svm",
            r"evaluate\.networks\.0\.name: got 'svm'; expected one of convnet, .*, ridge, rocket-ridge; fix",
        ),
        (
            'evaluate.networks=[{name="knn", neighbours=0}]',
            r"evaluate\.networks\.0\.neighbours: got 0; expected at least 1",
        ),
        ('evaluate.networks=["knn", {name="ridge", width=8}]', r"evaluate\.networks\.1\.width: got an unknown key"),
        ('evaluate.networks=[{name=["knn"]}]', r"evaluate\.networks\.0\.name: got \['knn'\]; expected text"),
        (
            "plan.network=knn",
            r"plan\.network\.name: got 'knn'; expected one of convnet, [^;]*patches[^;]*; fix",
        ),
        ("rivals.training.network=forest", r"rivals\.training\.network\.name: got 'forest'"),
    ],
)
def test_what_is_no_judge_or_stands_where_none_may_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(settings=[setting])


def test_python_refuses_unknown_names_in_one_line(a_set: DistilledSet, digits: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"^network: got svm; expected one of .*knn.*; fix: correct it$"):
        evaluate(a_set, digits.test, networks="svm")
    with pytest.raises(ConfigError, match=r"^network: neighbours: got -1; expected"):
        evaluate(a_set, digits.test, networks={"name": "knn", "neighbours": -1})
    with pytest.raises(ValidationError):
        judge_in({"name": "knn", "k": 3})


def test_labels_name_what_is_not_usual() -> None:
    assert NearestNeighbours().label == "knn"
    assert NearestNeighbours(neighbours=3).label == "knn neighbours=3"
    assert Ridge(penalty=0.5).label == "ridge penalty=0.5"


@pytest.mark.slow
def test_worker_processes_give_the_same(a_set: DistilledSet, digits: Dataset) -> None:
    specs = ["ridge", {"name": "forest", "trees": 5}]
    alone, shared = (
        evaluate(a_set, digits.test, networks=specs, recipe=one_run(), engine=Engine(processes=processes))
        for processes in (1, 2)
    )
    assert alone == shared
