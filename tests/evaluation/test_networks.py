"""Judging a set: which networks are trained, from what, and how their accuracies are summed up."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data import Samples
from collabdm.engine import EAGER
from collabdm.errors import DataError
from collabdm.evaluation import networks as evaluation
from collabdm.evaluation.judging import read_results, write_results
from collabdm.evaluation.networks import NetworkResult, Trials, network_results, spread, summary
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.networks import NetworkSpec, initial_parameters
from collabdm.progress import Event
from collabdm.randomness import Stream
from collabdm.training import loop as training
from collabdm.training.loop import train
from collabdm.training.recipes import Recipe
from collabdm.training.testing import Voter
from collabdm.training.testing import test_accuracy as accuracy_on
from collabdm.training.training_set import TrainingSet
from interruptions import Killed, assert_goes_on, killed_after
from tiny_runs import TINY_NETWORK

RECIPE = Recipe(name="test", count=2, epochs=2, lr=0.05, batch=4)
OTHER = NetworkSpec(name="convnet", width=4, depth=1)
SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.4,), std=(0.3,)))


@pytest.fixture
def held_out(make_samples: Callable[..., Samples]) -> Samples:
    return make_samples([6, 5, 4], seed=3)


def a_set(seed: int, count: int = 9) -> TrainingSet:
    images = torch.from_numpy(Stream(seed, "set").uniform((count, 1, 8, 8), -2, 2).astype(np.float32))
    return TrainingSet(samples=images, labels=torch.arange(count) % 3, sample=SAMPLE, augment=("crop", "colour"))


def judged(data: TrainingSet, test: Samples, seed: int = 0, **others: Any) -> Iterator[NetworkResult]:
    given: dict[str, Any] = {"networks": (TINY_NETWORK, OTHER), "recipe": RECIPE, "engine": EAGER, "seed": seed}
    trials = Trials(**{name: others.pop(name, value) for name, value in given.items()})
    return network_results(data, test, trials, **others)


def test_every_network_of_every_kind_once_and_the_same_again(held_out: Samples) -> None:
    results = list(judged(a_set(1), held_out, networks=(NetworkSpec(name="alexnet"), TINY_NETWORK)))
    assert [(r.network, r.index) for r in results] == [("alexnet", 0), ("alexnet", 1), ("convnet", 0), ("convnet", 1)]
    assert list(judged(a_set(1), held_out, networks=(NetworkSpec(name="alexnet"), TINY_NETWORK))) == results


def test_finished_networks_are_left_out(held_out: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(judged(a_set(1), held_out))
    calls: list[NetworkSpec] = []

    def counted(data: TrainingSet, spec: NetworkSpec, **others: Any) -> Any:
        calls.append(spec)
        return train(data, spec, **others)

    monkeypatch.setattr(evaluation, "train", counted)
    for done in range(5):
        calls.clear()
        assert list(judged(a_set(1), held_out, done=done)) == whole[done:]
        assert calls == [TINY_NETWORK, TINY_NETWORK, OTHER, OTHER][done:]


@pytest.mark.parametrize("kills", [[1], [7], [12, 1], [13], [14, 3], [14, 13, 2], [31]])
def test_an_interrupted_evaluation_ends_with_the_same_results(
    kills: list[int], held_out: Samples, tmp_path: Path
) -> None:
    """A network is twelve steps of training and one of testing."""
    recipe = RECIPE.model_copy(update={"epochs": 4})

    def work(folder: Path) -> list[NetworkResult]:
        folder.mkdir(exist_ok=True)
        kept = folder / "networks.json"
        results = read_results(kept)
        for result in judged(a_set(1), held_out, recipe=recipe, done=len(results), unfinished=folder / "networks"):
            results.append(result)
            write_results(kept, results)
        assert [path.name for path in folder.iterdir()] == ["networks.json"]
        return results

    assert_goes_on(work, tmp_path, operator.eq, kills)
    assert work(tmp_path / "whole") == list(judged(a_set(1), held_out, recipe=recipe))


def test_a_network_under_way_is_not_taken_for_another_set_s(held_out: Samples, tmp_path: Path) -> None:
    with killed_after(5), pytest.raises(Killed):
        next(judged(a_set(1), held_out, unfinished=tmp_path / "networks"))
    with killed_after(None) as written:
        found = list(judged(a_set(2), held_out, unfinished=tmp_path / "networks"))
    assert found == list(judged(a_set(2), held_out))
    assert written == [4 * (6 + 1)]


def test_the_last_epoch_counts_and_is_tested_once(held_out: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[Any] = []

    def spied(voters: Any, *others: Any) -> Any:
        tested.append(voters[0].parameters)
        return accuracy_on(voters, *others)

    seeds: list[int] = []

    def noted(*positional: Any, seed: int, **others: Any) -> Any:
        seeds.append(seed)
        return train(*positional, seed=seed, **others)

    monkeypatch.setattr(evaluation, "test_accuracy", spied)
    monkeypatch.setattr(evaluation, "train", noted)
    results = list(judged(a_set(1), held_out, networks=(TINY_NETWORK,)))
    assert len(tested) == len(results) == 2
    for result, parameters, seed in zip(results, tested, seeds, strict=True):
        last = train(a_set(1), TINY_NETWORK, classes=3, recipe=RECIPE, seed=seed, engine=EAGER)
        assert all(torch.equal(parameters[name], last[name]) for name in last)
        found = accuracy_on((Voter(network=TINY_NETWORK, parameters=last),), held_out, SAMPLE, EAGER)
        assert (result.accuracy, result.per_class, result.macro_f1, result.confusion) == found


def test_two_sets_are_judged_by_the_same_networks(held_out: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[dict[str, torch.Tensor]] = []

    def noted(*arguments: Any, **others: Any) -> dict[str, torch.Tensor]:
        parameters = initial_parameters(*arguments, **others)
        drawn.append({name: value.clone() for name, value in parameters.items()})
        return parameters

    monkeypatch.setattr(training, "initial_parameters", noted)

    def initial(data: TrainingSet, **others: Any) -> list[dict[str, torch.Tensor]]:
        drawn.clear()
        list(judged(data, held_out, **others))
        return list(drawn)

    def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(first[name], second[name]) for name in first)

    one, other = initial(a_set(1)), initial(a_set(2, count=14))
    assert [same(a, b) for a, b in zip(one, other, strict=True)] == [True] * 4
    assert not same(one[0], one[1])
    # Whatever else is tested, and however many, network i of a kind stays what it was.
    alone = initial(a_set(1), networks=(OTHER,), recipe=RECIPE.model_copy(update={"count": 3}))
    assert [same(a, b) for a, b in zip(one[2:], alone[:2], strict=True)] == [True] * 2
    assert not same(one[0], initial(a_set(1), seed=1)[0])


def test_progress_runs_to_its_end(held_out: Samples) -> None:
    told: list[Event] = []
    list(judged(a_set(1), held_out, report=told.append))
    assert [(event.done, event.total) for event in told] == [(i + 1, 8) for i in range(8)]


def test_a_network_that_diverged_is_named(held_out: Samples) -> None:
    events: list[Event] = []
    wild = RECIPE.model_copy(update={"lr": 1e30, "epochs": 4, "count": 1})
    networks = (NetworkSpec(name="alexnet"),)
    (lost,) = judged(a_set(1), held_out, networks=networks, recipe=wild, report=events.append)
    assert lost.diverged
    assert [e.message for e in events if e.message] == [
        "alexnet 0 diverged: its loss is not finite, its accuracy that of one class"
    ]
    assert summary([lost], held_out.classes)["networks"][0]["diverged"] is True
    (sound,) = judged(a_set(1), held_out, networks=networks, recipe=RECIPE.model_copy(update={"count": 1}))
    assert not sound.diverged
    assert "diverged" not in summary([sound], held_out.classes)["networks"][0]


def test_without_test_data_there_is_no_judging(held_out: Samples) -> None:
    with pytest.raises(DataError, match=r"^test data: got none; expected a test split; fix: "):
        next(judged(a_set(1), held_out.take([])))


ACCURACIES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(first=ACCURACIES, second=ACCURACIES)
def test_spread_is_numpy_s(first: list[float], second: list[float]) -> None:
    networks = [{"network": "a", "index": i, "accuracy": value} for i, value in enumerate(first)]
    alone = spread(networks)
    assert alone["mean"] == pytest.approx(np.mean(first), abs=1e-12)
    assert alone["std"] == pytest.approx(np.std(first, ddof=1) if len(first) > 1 else 0.0, abs=1e-7)
    assert alone["networks"] == networks
    assert "by_network" not in alone
    both = spread(networks + [{"network": "b", "index": i, "accuracy": value} for i, value in enumerate(second)])
    assert both["mean"] == pytest.approx(np.mean(first + second), abs=1e-12)
    assert both["std"] == pytest.approx(np.std(first + second, ddof=1), abs=1e-7)
    assert both["by_network"]["a"] == {"mean": alone["mean"], "std": alone["std"]}
    assert both["by_network"]["b"]["mean"] == pytest.approx(np.mean(second), abs=1e-12)


def test_summary_by_class() -> None:
    results = [
        NetworkResult(network="convnet", index=0, accuracy=0.5, per_class=(1.0, None, 0.25)),
        NetworkResult(network="convnet", index=1, accuracy=0.75, per_class=(0.5, None, 0.75)),
    ]
    assert summary(results, ("x", "y", "z")) == {
        "mean": 0.625,
        "std": pytest.approx(np.std([0.5, 0.75], ddof=1)),
        "networks": [
            {"network": "convnet", "index": 0, "accuracy": 0.5},
            {"network": "convnet", "index": 1, "accuracy": 0.75},
        ],
        "per_class": {"x": 0.75, "y": None, "z": 0.5},
    }
    assert "macro_f1" not in summary([replace(results[0], macro_f1=0.5), results[1]], ("x", "y", "z"))
    scored = [replace(result, macro_f1=value) for result, value in zip(results, (0.25, 0.75), strict=True)]
    found = summary(scored, ("x", "y", "z"))
    assert found["macro_f1"] == {"mean": 0.5, "std": pytest.approx(np.std([0.25, 0.75], ddof=1))}
    assert [network["macro_f1"] for network in found["networks"]] == [0.25, 0.75]
