"""Local samples that do not look like the others' stay out of the start set, and all others stay in."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from collabdm.config import ServerSpec
from collabdm.engine import EAGER
from collabdm.progress import Event
from collabdm.protocol import Contribution, Plan
from collabdm.randomness import Stream
from collabdm.screening import MOST_TIMES, screened, told_screened
from collabdm.server import aggregate, distill
from reference import embed_one, encoder_parameters, made_up, small_plan

FIVE = ("ada", "bob", "cid", "dan", "eve")
HELD, IMAGES = [8, 8, 8], [2, 2, 2]
TRIMMED = ServerSpec(passes=1, lr=1.0, aggregation="trimmed")


def a_plan(**changes: object) -> Plan:
    return small_plan(clients=FIVE, ipc=4, **changes)


def honest(plan: Plan, tiles: int = 1) -> list[Contribution]:
    """Local images that are a class's own pattern and a little noise, and means that are those of the patterns."""
    shape = plan.sample.shape
    patterns = [Stream(3, "pattern", y).uniform(shape, -2, 2) for y in range(3)]
    sent = []
    for name in plan.clients:
        one = made_up(plan, name, HELD, images=IMAGES)
        noise = Stream(4, "noise", name).uniform(one.samples.shape, -0.3, 0.3)
        samples = np.stack([patterns[y] for y in one.labels.tolist()]) + noise
        means = np.stack(
            [
                [
                    embed_one(encoder_parameters(plan, plan.encoder_seed(t)), torch.from_numpy(pattern)).numpy()
                    for pattern in patterns
                ]
                for t in plan.assigned(name)
            ]
        )
        statistics = np.zeros_like(one.statistics)
        statistics[:, :, 0] = means
        if statistics.shape[2] == 2:
            statistics[:, :, 1] = 0.01
        sent.append(replace(one, samples=samples.astype(np.float32), statistics=statistics))
    return sent


def _noise(one: Contribution, most: float) -> np.ndarray:
    return Stream(9, "attack").uniform(one.samples.shape, -most, most).astype(np.float32)


ATTACKS: dict[str, tuple[Callable[[Contribution], np.ndarray], str]] = {
    "noise of the largest size": (lambda one: _noise(one, 100.0), "size"),
    "noise of twenty": (lambda one: _noise(one, 20.0), "size"),
    "noise as large as honest images": (lambda one: _noise(one, 2.0), "distance"),
    "flat": (lambda one: np.full_like(one.samples, 1.2), "distance"),
    "black": (lambda one: np.zeros_like(one.samples), "distance"),
    "of another class": (lambda one: np.roll(one.samples, 2, axis=0), "distance"),
}


@pytest.mark.parametrize("statistics", ["mean", "moments"])
def test_honest_samples_all_stay(statistics: str) -> None:
    plan = a_plan(statistics=statistics)
    sent = honest(plan)
    found = screened(plan, sent, aggregate(plan, sent, TRIMMED), EAGER)
    assert found.left_out == {}
    assert told_screened(found.left_out) == ""
    for before, after in zip(sent, found.contributions, strict=True):
        assert np.array_equal(before.samples, after.samples)
        assert np.array_equal(before.statistics, after.statistics)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("statistics", ["mean", "moments"])
def test_a_liars_samples_are_kept_out_and_named(name: str, statistics: str) -> None:
    attack, why = ATTACKS[name]
    plan = a_plan(statistics=statistics)
    sent = honest(plan)
    sent[1] = replace(sent[1], samples=attack(sent[1]))
    found = screened(plan, sent, aggregate(plan, sent, TRIMMED), EAGER)
    assert found.left_out == {"bob": {why: 6}}
    assert [len(one.labels) for one in found.contributions] == [6, 0, 6, 6, 6]
    assert [one.client for one in found.contributions] == list(FIVE)
    word = {"size": "far out of size", "distance": "far from their class"}[why]
    assert told_screened(found.left_out) == f"local samples kept out of the start set: bob 6 {word}"


def test_the_bound_is_twice_the_median_clients_distance() -> None:
    plan = a_plan(seeds=2)
    sent = honest(plan)
    target = aggregate(plan, sent, TRIMMED)

    def distance(image: np.ndarray, y: int) -> float:
        found = []
        for t in range(plan.seeds):
            value = torch.from_numpy(target.values[t, y, 0])
            embedded = embed_one(encoder_parameters(plan, plan.encoder_seed(t)), torch.from_numpy(image).double())
            found.append(float((value - embedded).square().sum() / value.square().sum()))
        return float(np.mean(found))

    direction = Stream(8, "direction").uniform(plan.sample.shape, -1, 1).astype(np.float32)
    outcomes = set()
    for step in np.linspace(0, 1.5, 12):
        samples = sent[2].samples.copy()
        samples[0] += np.float32(step) * direction
        changed = [*sent[:2], replace(sent[2], samples=samples), *sent[3:]]
        bound = MOST_TIMES * np.median(
            [np.median([distance(image, 0) for image in one.samples[one.labels == 0]]) for one in changed]
        )
        own = distance(samples[0], 0)
        if abs(own / bound - 1) < 0.02:
            continue
        kept = len(screened(plan, changed, target, EAGER).contributions[2].labels) == 6
        assert kept == (own <= bound)
        outcomes.add(kept)
    assert outcomes == {True, False}


def test_of_two_clients_nothing_tells_which_is_honest() -> None:
    plan = small_plan(ipc=4)
    sent = honest(plan)[:2]
    sent[1] = replace(sent[1], samples=_noise(sent[1], 100.0))
    assert screened(plan, sent, aggregate(plan, sent, TRIMMED), EAGER).left_out == {}


def test_the_start_set_is_made_of_what_passes_where_a_rule_is_set() -> None:
    plan, events = a_plan(), list[Event]()
    sent = honest(plan)
    sent[4] = replace(sent[4], samples=_noise(sent[4], 100.0))
    still = TRIMMED.model_copy(update={"passes": 0})
    product = distill(plan, sent, still, report=events.append)
    assert float(product.samples.abs().max()) < 3
    assert [event.message for event in events if event.message] == [
        "local samples kept out of the start set: eve 6 far out of size"
    ]
    assert float(distill(plan, sent, still.model_copy(update={"aggregation": "mean"})).samples.abs().max()) > 50
