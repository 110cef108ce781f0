"""Classes in steps: what is remembered, that sets are those of rounds held by hand, and going on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.config import Config
from collabdm.data import Dataset, load_dataset
from collabdm.distilled import DistilledSet
from collabdm.distilled.set import load
from collabdm.engine import EAGER
from collabdm.errors import ConfigError, DataError
from collabdm.experiments.base import Cell
from collabdm.experiments.class_steps import class_steps, of_classes
from collabdm.experiments.continual import CONTINUAL
from collabdm.experiments.in_steps import learned_in_steps
from collabdm.experiments.memory import added, joined, seen_part
from collabdm.planning import sample_for
from collabdm.progress import silent
from collabdm.randomness import Stream
from collabdm.simulation.simulate import simulate_on
from tiny_runs import tiny_config, two_epochs

STEPS = 3


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Five digits, so that three steps are uneven."""
    whole = of_classes(load_dataset("digits"), range(5))
    kept = np.sort(np.concatenate([whole.train.of_class(y)[:30] for y in range(5)]))
    test = np.sort(np.concatenate([whole.test.of_class(y)[: 6 + 2 * y] for y in range(5)]))
    return replace(whole, train=whole.train.take(kept), test=whole.test.take(test))


def settings(method: str, **changes: Any) -> Config:
    return tiny_config({"method": method, "ipc": 2, "plan.min_held": 1, "seed": 4, "evaluate.count": 2, **changes})


def learned(data: Dataset, folder: Path, config: Config, *, arriving: bool = False) -> Mapping[str, Any]:
    cell = Cell(name="c", options={}, rank=0, factors={"row": "r", "steps": STEPS, "arriving": arriving})
    with two_epochs():
        return learned_in_steps(cell, data, config, folder, engine=EAGER, kept=folder / "kept", report=silent)


@pytest.fixture(scope="module")
def spread(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    folder = tmp_path_factory.mktemp("spread")
    return folder, learned(data, folder, settings("collabdm"))


@pytest.fixture(scope="module")
def arriving(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    folder = tmp_path_factory.mktemp("arriving")
    return folder, learned(data, folder, settings("collabdm"), arriving=True)


def test_each_steps_set_is_that_of_a_round_on_its_classes_alone(
    data: Dataset, spread: tuple[Path, Mapping[str, Any]], tmp_path: Path
) -> None:
    folder, found = spread
    steps = class_steps(5, STEPS, Stream(4, "class order"))
    assert found["measured"]["order"] == [[data.train.classes[y] for y in step] for step in steps]
    with two_epochs():
        simulate_on(of_classes(data, steps[1]), settings("collabdm"), tmp_path / "alone", engine=EAGER)
    alone, memory = load(tmp_path / "alone" / "distilled"), load(folder / "distilled")
    # Two classes before it, of two samples each.
    torch.testing.assert_close(memory.samples[4:8], alone.samples, rtol=0, atol=0)
    assert memory.classes == tuple(data.train.classes[y] for step in steps for y in step)
    assert memory.labels.tolist() == np.repeat(np.arange(5), 2).tolist()
    # Sites send anew at each step.
    sent = [load_sizes(folder / f"step-{t}") for t in range(STEPS)]
    assert found["bytes"]["up"] == {name: sum(one[name] for one in sent) for name in ("0", "1", "2")}
    assert found["rounds"] == STEPS


def load_sizes(step: Path) -> dict[str, int]:
    paths = sorted((step / "contributions").glob("*.safetensors"))
    return {path.name.partition("-")[0]: path.stat().st_size for path in paths}


@pytest.mark.parametrize("which", ["spread", "arriving"])
def test_accuracies_agree_with_each_other(which: str, data: Dataset, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(which)[1]
    measured, counts = found["measured"], dict(zip(data.test.classes, data.test.counts().tolist(), strict=True))
    tested = [sum(counts[name] for name in step) for step in measured["order"]]
    assert len(measured["after"]) == len(measured["by_step"]) == 2  # networks
    for after, by_step, mean in zip(measured["after"], measured["by_step"], measured["mean"], strict=True):
        assert [len(one) for one in by_step] == [1, 2, 3]
        for t in range(STEPS):
            right = sum(share * n for share, n in zip(by_step[t], tested[: t + 1], strict=True))
            assert after[t] == pytest.approx(right / sum(tested[: t + 1]))
        assert mean == pytest.approx(sum(after) / STEPS)
    last = [one["accuracy"] for one in found["accuracy"]["networks"]]
    assert last == [pytest.approx(after[-1]) for after in measured["after"]]


def test_sites_that_arrive_bring_their_classes_and_the_others_stay(
    data: Dataset, arriving: tuple[Path, Mapping[str, Any]]
) -> None:
    folder, found = arriving
    steps = class_steps(5, STEPS, Stream(4, "class order"))
    for t in range(STEPS):
        held = set(load(folder / f"step-{t}" / "distilled").labels.tolist())
        assert held == {y for step in steps[: t + 1] for y in step}
    assert found["rounds"] == 1
    assert found["bytes"]["up"].keys() == {"0", "1", "2"}
    last, memory = load(folder / "step-2" / "distilled"), load(folder / "distilled")
    for place, y in enumerate(y for step in steps for y in step):
        torch.testing.assert_close(memory.samples[memory.labels == place], last.samples[last.labels == y])


@pytest.mark.parametrize("which", ["spread", "arriving"])
def test_what_was_done_is_not_done_again(
    which: str, data: Dataset, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = request.getfixturevalue(which)
    for name in ("baselines.judged.rival_metrics", "rounds.distilling.refine", "evaluation.networks.train"):
        monkeypatch.setattr(f"collabdm.{name}", lambda *a, **k: pytest.fail("computed again"))
    again = learned(data, folder, settings("collabdm"), arriving=which == "arriving")
    assert {name: again[name] for name in ("measured", "bytes", "accuracy")} == {
        name: found[name] for name in ("measured", "bytes", "accuracy")
    }


def test_an_arrival_that_was_interrupted_ends_alike(
    data: Dataset, arriving: tuple[Path, Mapping[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # Killed inside the addition of the second site: its change has begun, and is carried out later.
        patch.setattr("collabdm.rounds.membership.distill_round", _killed)
        with pytest.raises(KeyboardInterrupt):
            learned(data, tmp_path, settings("collabdm"), arriving=True)
    assert (tmp_path / "round" / "change.json").exists()
    learned(data, tmp_path, settings("collabdm"), arriving=True)
    ended, other = load(tmp_path / "distilled"), load(arriving[0] / "distilled")
    torch.testing.assert_close(ended.samples, other.samples, rtol=0, atol=0)


def _killed(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_masks_cannot_be_opened_before_all_have_come(data: Dataset, tmp_path: Path) -> None:
    private = {"plan.masks": {"threshold": 2}, "plan.privacy": {"epsilon": 10.0, "delta": 1e-5}}
    with pytest.raises(ConfigError, match=r"plan.masks: got masks; expected none where sites arrive later"):
        learned(data, tmp_path, settings("collabdm", **private), arriving=True)


def test_a_class_without_test_data_is_refused(data: Dataset, tmp_path: Path) -> None:
    less = replace(data, test=data.test.take(np.flatnonzero(data.test.labels != 3)))
    with pytest.raises(DataError, match="test samples of a class: got none of 3; expected one at least"):
        learned(less, tmp_path, settings("random-real"))


def made(data: Dataset, labels: list[int], classes: tuple[str, ...]) -> DistilledSet:
    return DistilledSet(
        samples=torch.arange(len(labels)).float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8),
        labels=torch.tensor(labels),
        classes=classes,
        sample=sample_for(settings("random-real"), data.preset),
        augment=(),
        method="m",
        facts={},
    )


def test_sets_of_steps_are_joined_class_after_class(data: Dataset) -> None:
    both = joined([made(data, [0, 1, 1], ("c", "a")), made(data, [1, 0], ("b", "d"))])
    assert (both.classes, both.labels.tolist()) == (("c", "a", "b", "d"), [0, 1, 1, 3, 2])
    assert both.samples[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]


def test_of_a_whole_set_the_classes_seen_are_told_in_the_order_in_which_they_came(data: Dataset) -> None:
    part = seen_part(made(data, [1, 3, 3], ("a", "b", "c", "d")), (3, 1))
    assert (part.classes, part.labels.tolist()) == (("d", "b"), [1, 0, 0])


def test_numbers_are_added_by_name() -> None:
    assert added([{"a": 1, "b": {"x": 2.5}}, {"b": {"x": 1, "y": 3}, "c": 4}]) == {
        "a": 1,
        "b": {"x": 3.5, "y": 3},
        "c": 4,
    }


def test_the_table_has_a_line_for_each_way_to_remember_over_class_orders() -> None:
    def record(order: int, after: list[list[float]], forgotten: list[float]) -> dict[str, Any]:
        means = [sum(one) / len(one) for one in after]
        return {
            **{"cell": f"c{order}", "dataset": "digits", "rank": order, "note": ""},
            "factors": {"row": "random-real", "steps": 2, "arriving": False},
            "measured": {"after": after, "mean": means, "forgetting": forgotten},
        }

    first = record(0, [[0.9, 0.5], [0.7, 0.3]], [0.2, 0.4])
    lines = CONTINUAL.table([first]).splitlines()
    assert lines[2] == "| digits | 2 | random-real | 1 | 80.0, 40.0 | 60.0 | 30.0 |  |"
    second = record(1, [[0.6, 0.4]], [0.1])
    failed = record(2, [], []) | {"failed": "no data"}
    lines = CONTINUAL.table([first, second, failed]).splitlines()
    # Means of the orders 0.6 and 0.5, and 0.3 and 0.1.
    assert lines[2] == "| digits | 2 | random-real | 2 | 70.0, 40.0 | 55.0 ± 7.1 | 20.0 ± 14.1 |  |"
    assert lines[3] == "| digits | 2 | random-real |  |  |  |  | c2: no data |"
    assert len(lines) == 4
