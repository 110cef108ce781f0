"""From contributions to the teacher: the split does not matter, and what cannot be protected is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.classifiers.file import decode_classifier
from collabdm.classifiers.teacher import teacher_classifier
from collabdm.client import contribute
from collabdm.config import ServerSpec, load_config
from collabdm.data import Dataset, Samples, load_dataset
from collabdm.engine import REFERENCE
from collabdm.errors import ConfigError, ContributionError
from collabdm.initial_set import initial_set
from collabdm.progress import Event
from collabdm.protocol import Contribution, Plan, decode_contribution, encode_contribution
from collabdm.server import aggregate, distill
from collabdm.simulation.simulate import simulate
from collabdm.teacher import pooled_equations, ridge, teacher_of
from reference import small_plan

GRAM = {"statistics": "gram", "features": {"name": "patches", "width": 8}, "gram_bits": 8, "local": {"method": "none"}}
CLASSES = tuple("0123456789")


def plan_for(clients: tuple[str, ...], **changes: object) -> Plan:
    sample = {"channels": 1, "height": 8, "width": 8, "normalisation": {"mean": (0.5,), "std": (0.5,)}}
    return small_plan(sample=sample, classes=CLASSES, clients=clients, **GRAM | changes)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def sent(plan: Plan, client: str, samples: Samples) -> Contribution:
    return contribute(plan, client, samples, engine=REFERENCE)


def accuracy(plan: Plan, contributions: list[Contribution], test: Samples) -> float:
    teacher = teacher_of(plan, pooled_equations(plan, contributions), REFERENCE)
    shown = plan.sample.tensors(test.values, device="cpu", dtype=torch.float64)
    return float((teacher.logits(shown).argmax(dim=1).numpy() == test.labels).mean())


def test_a_set_of_a_round_with_the_gram_matrix_alone_is_told_to_stay_as_it_began(digits: Dataset) -> None:
    plan, events = plan_for(("all",)), list[Event]()
    answers = [sent(plan, "all", digits.train.take(np.arange(60)))]
    made = distill(plan, answers, engine=REFERENCE, report=events.append)
    assert torch.equal(made.samples, initial_set(plan, answers).samples)
    said = [str(event.message) for event in events if event.message and "asks for no means" in str(event.message)]
    assert len(said) == 1
    assert said[0].endswith("set plan.statistics=mean,gram for a set that is refined")


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 100), sites=st.integers(2, 6))
def test_the_equations_of_any_split_are_those_of_all_data(digits: Dataset, seed: int, sites: int) -> None:
    train = digits.train.take(np.arange(400))
    owner = np.random.default_rng(seed).integers(0, sites, 400)
    owner[:sites] = np.arange(sites)
    whole = pooled_equations(plan_for(("all",)), [sent(plan_for(("all",)), "all", train)])
    names = tuple(f"site {k}" for k in range(sites))
    plan = plan_for(names)
    parts = [sent(plan, name, train.take(np.flatnonzero(owner == k))) for k, name in enumerate(names)]
    split = pooled_equations(plan, reversed(parts))
    assert split.count == 400
    for field in ("mean", "scale", "gram", "cross", "share", "spread"):
        np.testing.assert_allclose(getattr(split, field), getattr(whole, field), rtol=1e-6, atol=1e-9)


def test_through_the_wire_sites_of_single_classes_give_the_classifier_of_all(digits: Dataset) -> None:
    one = plan_for(("all",))
    alone = accuracy(one, [sent(one, "all", digits.train)], digits.test)
    plan = plan_for(CLASSES)
    parts = [sent(plan, name, digits.train.take(digits.train.of_class(y))) for y, name in enumerate(CLASSES)]
    arrived = [decode_contribution(encode_contribution(part, plan), plan) for part in parts]
    assert accuracy(plan, arrived, digits.test) == pytest.approx(alone, abs=0.02)
    assert alone > 0.9


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_the_rounding_of_the_roots_is_known_and_averages_over_clients(bits: int, digits: Dataset) -> None:
    some = digits.train.take(np.arange(900))
    rounding = list[float]()
    for parts in ([some], [some.take(np.arange(k, 900, 3)) for k in range(3)]):
        plan = plan_for(tuple("abc"[: len(parts)]), gram_bits=bits)
        equations = pooled_equations(plan, [sent(plan, "abc"[k], part) for k, part in enumerate(parts)])
        rounding.append(equations.rounding)
    # Of 64 features half a root's column is not zero, and half a step is what is lost of an entry at most.
    assert rounding[0] == pytest.approx(32 / 12 / (2 ** (bits - 1) - 1) ** 2)
    assert rounding[1] == pytest.approx(rounding[0] / 3)


def test_the_saved_classifier_says_what_the_teacher_says(digits: Dataset) -> None:
    plan = plan_for(("all",))
    parts = [sent(plan, "all", digits.train)]
    target = aggregate(plan, parts)
    found = teacher_classifier(plan, target, {"dataset": "digits"})
    assert found is not None
    again = decode_classifier(found.to_bytes())
    assert (again.card.facts["method"], again.card.facts["dataset"]) == ("analytic", "digits")
    probabilities = again.probabilities(digits.test.values)
    assert (probabilities.argmax(axis=1) == digits.test.labels).mean() == pytest.approx(
        accuracy(plan, parts, digits.test), abs=0.005
    )
    # Not the scores, which lie between 0 and 1, but the belief that these amount to.
    shown = plan.sample.tensors(digits.test.values, device="cpu", dtype=torch.float64)
    beliefs = torch.softmax(teacher_of(plan, pooled_equations(plan, parts), REFERENCE).logits(shown), dim=1)
    np.testing.assert_allclose(probabilities, beliefs.numpy(), atol=2e-3)
    assert probabilities.max(axis=1).mean() > 0.8
    assert ridge(pooled_equations(plan, parts)).penalty == found.card.facts["penalty"]


@pytest.mark.parametrize(("augment", "views"), [(("crop", "flip"), ("flip",)), (("crop",), None)])
def test_it_is_asked_in_the_views_that_its_sums_average(
    augment: tuple[str, ...], views: tuple[str, ...] | None, make_samples: Callable[..., Samples]
) -> None:
    plan = small_plan(**GRAM, augment=augment)
    found = teacher_classifier(plan, aggregate(plan, [sent(plan, "ada", make_samples([5, 4, 3], (3, 8, 12)))]), {})
    assert found is not None
    assert found.card.views == views


def test_a_teacher_that_is_sure_of_all_is_still_a_classifier_file(make_samples: Callable[..., Samples]) -> None:
    # A single class leaves no error at all: as sharp as that says, the parameters would be out of range.
    plan = small_plan(**GRAM)
    found = teacher_classifier(plan, aggregate(plan, [sent(plan, "ada", make_samples([9, 0, 0], (3, 8, 12)))]), {})
    assert found is not None
    again = decode_classifier(found.to_bytes()).probabilities(make_samples([0, 2, 1], (3, 8, 12)).values)
    np.testing.assert_allclose(again, [[1, 0, 0]] * 3, atol=1e-6)


def test_a_client_counts_for_no_more_than_the_plan_allows(make_samples: Callable[..., Samples]) -> None:
    plan = small_plan(**GRAM, most_held=5)
    big, small = make_samples([50, 0, 4], (3, 8, 12)), make_samples([0, 7, 9], (3, 8, 12), seed=1)
    found = pooled_equations(plan, [sent(plan, "ada", big), sent(plan, "bob", small)])
    assert found.count == 5 + 4 + 5 + 5
    np.testing.assert_allclose(found.share, np.array([5, 5, 9]) / 19)


def test_no_rule_protects_the_gram_matrix(make_samples: Callable[..., Samples]) -> None:
    plan = small_plan(**GRAM)
    parts = [sent(plan, "ada", make_samples([5, 5, 5], (3, 8, 12)))]
    for call in (aggregate, distill):
        with pytest.raises(ConfigError, match=r"server\.aggregation: got a rule with the statistic gram; "):
            call(plan, parts, ServerSpec(aggregation="trimmed"))


def test_what_was_not_sent_is_missed(make_samples: Callable[..., Samples]) -> None:
    plan = small_plan(**GRAM)
    whole = sent(plan, "ada", make_samples([5, 5, 5], (3, 8, 12)))
    for broken, says in (
        (replace(whole, gram=None), "no gram"),
        (replace(whole, gram=replace(whole.gram, scatter=whole.gram.scatter[1:])), r"gram.scatter\[63, 64\]"),  # type: ignore[union-attr]
        (replace(whole, gram=replace(whole.gram, means=whole.gram.means * np.nan)), "NaN or infinity in gram.means"),  # type: ignore[union-attr]
    ):
        with pytest.raises(ContributionError, match=says):
            aggregate(plan, [broken])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("server.aggregation=trimmed", "a rule with the statistic gram"),
        ("server.clip=2.0", "leave server.clip out"),
        ("server.step=per-class", "per-class with the teacher's term"),
    ],
)
def test_a_simulation_is_refused_before_anything_is_computed(setting: str, says: str, tmp_path: Path) -> None:
    settings = ["plan.statistics=mean,gram", "plan.features={name='patches',width=8}", "plan.min_held=1", setting]
    with pytest.raises(ConfigError, match=says):
        simulate(load_config(settings=settings), tmp_path / "run")
    assert not (tmp_path / "run" / "plan.json").exists()
