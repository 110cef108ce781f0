"""Aggregation and refinement against the slow reference, and the properties that the round promises."""

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from collabdm.client import contribute
from collabdm.config import Config, ServerSpec, config_toml, make_config
from collabdm.config.server import UNBOUNDED
from collabdm.data import Samples, load_dataset
from collabdm.engine import EAGER, REFERENCE, Engine
from collabdm.errors import ConfigError, ContributionError, QuorumError
from collabdm.initial_set import initial_set
from collabdm.matching.statistic import FIRST, MEAN, MOMENTS, STATISTICS, Statistic, Term
from collabdm.matching.step import StepKind, SyntheticState
from collabdm.planning import make_plan
from collabdm.progress import Event
from collabdm.protocol import Contribution, Plan, acceptance, decode_contribution, encode_contribution, plan_digest
from collabdm.randomness import Stream
from collabdm.server import Target, aggregate, distill, initial_state, refine, tell_worse
from collabdm.storage.kept_results import KeptResults
from reference import (
    OPERATIONS,
    Aim,
    Turn,
    augment_one,
    client_aims,
    embed_one,
    encoder_parameters,
    global_aims,
    made_up,
    optimise,
    real_image,
    relative_error,
    small_plan,
    synthetic_loss,
)

Weighting = Literal["count", "uniform"]
MakeSamples = Callable[..., Samples]
HELD = {"ada": [6, 0, 2], "bob": [3, 5, 0], "cid": [0, 1, 4]}
LABELS = [0, 0, 1, 1, 2, 2]
# The slow loop knows no bound.
ONE_PASS = ServerSpec(passes=1, lr=2.0, schedule="constant", reach=UNBOUNDED)
UNIFORM = ServerSpec(weighting="uniform")


@dataclass(frozen=True, kw_only=True)
class Round:
    """What clients hold, what they should send by the slow loop, and what they computed so far."""

    plan: Plan
    holders: Mapping[str, Samples]
    aims: Mapping[str, Mapping[tuple[int, int], Aim]]
    kept: KeptResults


@pytest.fixture(scope="module")
def round_of(make_samples: MakeSamples, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Round]:
    """A function (operation, or all) -> Round; it does not depend on the settings of the server."""
    kept = KeptResults(tmp_path_factory.mktemp("kept"))

    @cache
    def build(operation: str) -> Round:
        chosen = {"none": (), "all": OPERATIONS}.get(operation, (operation,))
        plan = small_plan(augment=chosen, seeds=2)
        holders = {name: make_samples(counts, plan.sample.shape, k) for k, (name, counts) in enumerate(HELD.items())}
        aims = {name: client_aims(plan, name, samples) for name, samples in holders.items()}
        return Round(plan=plan, holders=holders, aims=aims, kept=kept)

    return build


def _sent(
    plan: Plan, holders: Mapping[str, Samples], *, engine: Engine = REFERENCE, kept: KeptResults | None = None
) -> list[Contribution]:
    """The contributions as they arrive: through the wire."""
    expected = acceptance(plan)
    arrived = []
    for name, samples in holders.items():
        content = encode_contribution(contribute(plan, name, samples, engine=engine, kept=kept), plan)
        arrived.append(decode_contribution(content, plan, expected=expected))
    return arrived


def _refined(
    plan: Plan, target: Target, images: Tensor, labels: Tensor, spec: ServerSpec, engine: Engine
) -> tuple[Tensor, list[float]]:
    """The images after all steps, and the loss of every step."""
    state, losses = initial_state(images, labels, engine), []
    for refinement in refine(plan, target, state, spec, engine=engine):
        state = refinement.state
        losses.append(refinement.loss)
    return state.samples, losses


def _images(plan: Plan) -> Tensor:
    return torch.from_numpy(Stream(9, "start").uniform((len(LABELS), *plan.sample.shape), -1.7, 1.7))


def _check_target(target: Target, expected: list[dict[int, Aim]], statistic: str, tolerance: float) -> None:
    for t, covered in enumerate(expected):
        assert np.flatnonzero(target.weights[t]).tolist() == sorted(covered)
        for y, aim in covered.items():
            assert relative_error(target.values[t, y, 0], aim.mean) < tolerance
            if statistic == "moments":
                difference = torch.from_numpy(target.values[t, y, 1]) - aim.variance()
                assert float(difference.norm() / aim.square.norm()) < tolerance
            assert target.drawn[t, y] == aim.drawn


CASES = [
    (statistic, weighting, operation, step, factor)
    for operation in ("none", *OPERATIONS)
    for factor in (1, 2)
    for statistic in ("mean", "moments")
    for weighting in ("count", "uniform")
    for step in ("joint", "per-class")
]


@pytest.mark.parametrize(("statistic", "weighting", "operation", "step", "factor"), CASES)
def test_algorithm_1_is_the_slow_loop(
    round_of: Callable[[str], Round],
    statistic: str,
    weighting: Weighting,
    operation: str,
    step: StepKind,
    factor: int,
) -> None:
    base = round_of(operation)
    plan = base.plan.model_copy(update={"statistics": statistic, "tiles": factor})
    expected = global_aims(plan, base.holders, base.aims, weighting)
    images = _images(plan)
    spec = ONE_PASS.model_copy(update={"step": step, "weighting": weighting})
    turns = [Turn(seed=plan.encoder_seed(t), aims=aims, lr=spec.lr) for t, aims in enumerate(expected)]
    moved, history = optimise(
        plan, images, LABELS, turns, statistic=statistic, factor=factor, momentum=spec.momentum, step=step
    )
    for engine, tolerance in ((REFERENCE, 1e-6), (EAGER, 1e-4)):
        target = aggregate(plan, _sent(plan, base.holders, engine=engine, kept=base.kept), spec)
        _check_target(target, expected, statistic, tolerance)
        got, losses = _refined(plan, target, images, torch.tensor(LABELS), spec, engine)
        assert losses == pytest.approx([sum(turn.values()) for turn in history], rel=tolerance)
        assert relative_error(got, moved) < tolerance


@pytest.mark.parametrize("step", ["joint", "per-class"])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_seeds_and_classes_that_nobody_covers_are_skipped_and_counted(
    make_samples: MakeSamples, momentum: float, step: StepKind
) -> None:
    plan = small_plan(seeds=6, participation=0.4, augment=OPERATIONS)
    assert plan.participants_per_seed == 1
    holders = {name: make_samples(counts, plan.sample.shape) for name, counts in HELD.items()}
    aims = {name: client_aims(plan, name, samples) for name, samples in holders.items()}
    expected = global_aims(plan, holders, aims, "count")
    uncovered = sum(len(plan.classes) - len(covered) for covered in expected)
    assert 0 < uncovered < 18
    target = aggregate(plan, _sent(plan, holders))
    _check_target(target, expected, "mean", 1e-6)
    assert target.skipped == uncovered
    spec = ONE_PASS.model_copy(update={"step": step, "momentum": momentum})
    images = _images(plan)
    turns = [Turn(seed=plan.encoder_seed(t), aims=covered, lr=spec.lr) for t, covered in enumerate(expected)]
    moved, history = optimise(plan, images, LABELS, turns, statistic="mean", factor=1, momentum=momentum, step=step)
    got, losses = _refined(plan, target, images, torch.tensor(LABELS), spec, REFERENCE)
    assert relative_error(got, moved) < 1e-6
    assert losses == pytest.approx([sum(turn.values()) for turn in history], rel=1e-6)


def test_a_class_that_nobody_holds_is_skipped_at_every_seed() -> None:
    plan = small_plan(seeds=4)
    target = aggregate(plan, [made_up(plan, name, [3, 0, 2]) for name in plan.clients])
    assert target.skipped == 4
    assert target.weights[:, 1].tolist() == [0, 0, 0, 0]
    assert target.weights[:, 0].tolist() == [9, 9, 9, 9]
    images, losses = _refined(plan, target, _images(plan), torch.tensor(LABELS), ONE_PASS, EAGER)
    assert torch.equal(images[2:4], _images(plan)[2:4].float())
    assert len(losses) == 4


@pytest.mark.parametrize(("participation", "expected"), [(1.0, 7), (0.5, 3), (0.29, 2), (0.1, 1), (0.01, 1)])
def test_only_the_participants_of_a_seed_count(participation: float, expected: int) -> None:
    clients = tuple(f"client {k}" for k in range(7))
    plan = small_plan(clients=clients, participation=participation, seeds=12)
    sent = []
    for k, name in enumerate(clients):
        contribution = made_up(plan, name, [1, 2, 3])
        sent.append(replace(contribution, statistics=np.full_like(contribution.statistics, k + 1)))
    target = aggregate(plan, sent, UNIFORM)
    for t in range(12):
        participants = plan.participants(t)
        assert len(set(participants)) == expected == max(math.floor(participation * 7), 1)
        mean = sum(clients.index(name) + 1 for name in participants) / expected
        np.testing.assert_allclose(target.values[t], mean, rtol=1e-12)
        assert (target.weights[t] == expected).all()
        assert target.drawn[t].tolist() == [expected, 2 * expected, 3 * expected]


def test_4000_and_600_samples_weigh_4000_to_600_though_512_are_drawn() -> None:
    plan = small_plan(clients=("large", "small"), batch=512, statistics="moments")
    large, small = made_up(plan, "large", [4000, 0, 1]), made_up(plan, "small", [600, 7, 0])
    counted, alike = (aggregate(plan, [large, small], spec) for spec in (ServerSpec(), UNIFORM))
    (m, v), (n, w) = (np.moveaxis(c.statistics[:, 0].astype(np.float64), 1, 0) for c in (large, small))
    for target, share in ((counted, 4000 / 4600), (alike, 0.5)):
        mean = share * m + (1 - share) * n
        variance = share * (v + (m - mean) ** 2) + (1 - share) * (w + (n - mean) ** 2)
        assert relative_error(target.values[:, 0, 0], mean) < 1e-12
        assert relative_error(target.values[:, 0, 1], variance) < 1e-12
        assert (target.drawn[:, 0] == 1024).all()
        # A class of one client is that client's.
        assert relative_error(target.values[:, 1], small.statistics[:, 1]) < 1e-12
    assert counted.weights[0].tolist() == [4600, 7, 1]
    assert alike.weights[0].tolist() == [2, 1, 1]


@pytest.mark.parametrize("statistic", ["mean", "moments"])
@settings(max_examples=15)
@given(owners=st.lists(st.integers(0, 3), min_size=14, max_size=14), one_of_each=st.booleans())
def test_whatever_the_partition_the_target_is_the_centralised_statistic(
    make_samples: MakeSamples, statistic: str, owners: list[int], one_of_each: bool
) -> None:
    everything = make_samples([12, 1, 1] if one_of_each else [7, 4, 3], (3, 8, 12))
    names = ("a", "b", "c", "d")
    plan = small_plan(clients=names, batch=14, seeds=2, statistics=statistic, augment=OPERATIONS)
    rows = {name: np.flatnonzero(np.array(owners) == k) for k, name in enumerate(names)}
    target = aggregate(plan, _sent(plan, {name: everything.take(own) for name, own in rows.items() if len(own)}))
    central_plan = plan.model_copy(update={"clients": ("all",)})
    central = aggregate(central_plan, _sent(central_plan, {"all": everything}))
    assert np.array_equal(target.weights, central.weights)
    assert np.array_equal(target.drawn, central.drawn)
    assert target.skipped == 0
    for part in range(len(plan.statistic.terms)):
        difference = target.values[:, :, part] - central.values[:, :, part]
        # A variance is as exact as the square that it is taken from.
        scale = np.linalg.norm(central.values[:, :, 0] ** (part + 1), axis=-1)
        assert (np.linalg.norm(difference, axis=-1) < 1e-6 * scale).all()


def test_the_centralised_statistic_is_that_of_the_slow_loop(make_samples: MakeSamples) -> None:
    everything = make_samples([7, 4, 3], (3, 8, 12))
    plan = small_plan(clients=("all",), batch=50, seeds=2, statistics="moments", augment=OPERATIONS)
    aims = {"all": client_aims(plan, "all", everything)}
    assert all(aims["all"][t, y].drawn == count for t in range(2) for y, count in enumerate([7, 4, 3]))
    target = aggregate(plan, _sent(plan, {"all": everything}))
    _check_target(target, global_aims(plan, {"all": everything}, aims, "count"), "moments", 1e-6)


FIVE = ("ada", "bob", "cid", "dot", "eve")
TRIMMED = ServerSpec(aggregation="trimmed")


def _five(plan: Plan) -> list[Contribution]:
    held = [[3, 1, 0], [5000, 7, 2], [0, 0, 11], [1, 0, 0], [13, 2, 999]]
    return [made_up(plan, name, own) for name, own in zip(FIVE, held, strict=True)]


@pytest.mark.parametrize("statistic", ["mean", "moments"])
@given(
    order=st.permutations(range(5)),
    weighting=st.sampled_from(["count", "uniform"]),
    rule=st.sampled_from([ServerSpec(), TRIMMED, ServerSpec(aggregation="trimmed", clip=1.1)]),
)
def test_the_order_of_contributions_does_not_change_a_bit(
    statistic: str, order: list[int], weighting: Weighting, rule: ServerSpec
) -> None:
    plan = small_plan(clients=FIVE, ipc=3, statistics=statistic, participation=0.7)
    contributions = _five(plan)
    shuffled, spec = [contributions[k] for k in order], rule.model_copy(update={"weighting": weighting})
    first, second = (aggregate(plan, iter(given), spec) for given in (contributions, shuffled))
    assert first.values.tobytes() == second.values.tobytes()
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.drawn.tobytes() == second.drawn.tobytes()
    one, other = (initial_set(plan, iter(given)) for given in (contributions, shuffled))
    assert torch.equal(one.samples, other.samples)
    assert torch.equal(one.labels, other.labels)


def test_the_distilled_set_is_the_same_in_any_order_and_from_files_or_memory() -> None:
    plan = small_plan(clients=FIVE, ipc=3, statistics="moments", augment=OPERATIONS)
    contributions = _five(plan)
    expected = replace(acceptance(plan), fingerprint=contributions[0].fingerprint)
    assert expected.features == 48
    files = [
        decode_contribution(encode_contribution(c, plan), plan, expected=expected, name=c.client) for c in contributions
    ]
    results = []
    for given_order in (contributions, contributions[::-1], files, files[2:] + files[:2]):
        start = initial_set(plan, given_order)
        target = aggregate(plan, given_order)
        results.append(_refined(plan, target, start.samples, start.labels, ServerSpec(passes=2), EAGER))
    for images, losses in results[1:]:
        assert torch.equal(images, results[0][0])
        assert losses == results[0][1]


def test_further_passes_reorder_the_seeds_and_the_rate_falls_on_a_cosine(round_of: Callable[[str], Round]) -> None:
    base = round_of("all")
    plan = base.plan
    spec = ServerSpec(passes=3, lr=2.0, schedule="cosine", momentum=0.3, reach=UNBOUNDED)
    aims = global_aims(plan, base.holders, base.aims, "count")
    order = [*range(2)]
    for turn in (1, 2):
        order += Stream(plan.seed, "pass", turn).permutation(2).tolist()
    turns = [
        Turn(seed=plan.encoder_seed(t), aims=aims[t], lr=2.0 * (1 + math.cos(math.pi * step / 6)) / 2)
        for step, t in enumerate(order)
    ]
    images = _images(plan)
    moved, history = optimise(plan, images, LABELS, turns, statistic="mean", factor=1, momentum=0.3, step="joint")
    target = aggregate(plan, _sent(plan, base.holders))
    got, losses = _refined(plan, target, images, torch.tensor(LABELS), spec, REFERENCE)
    assert relative_error(got, moved) < 1e-6
    assert losses == pytest.approx([sum(turn.values()) for turn in history], rel=1e-6)


@pytest.mark.parametrize("step", ["joint", "per-class"])
def test_a_synthetic_batch_matches_some_images_of_each_class(round_of: Callable[[str], Round], step: StepKind) -> None:
    base = round_of("all")
    plan, labels = base.plan, [0, 0, 0, 1, 2, 2]
    spec = ONE_PASS.model_copy(update={"batch": 2, "step": step})
    aims = global_aims(plan, base.holders, base.aims, "count")
    turns = []
    for t in range(2):
        chosen = {}
        for y in aims[t]:
            rows = [i for i, label in enumerate(labels) if label == y]
            drawn = Stream(plan.seed, "synthetic-batch", t, y).choose(len(rows), 2)
            chosen[y] = [rows[i] for i in drawn]
            assert len(set(chosen[y])) == min(2, len(rows))
        turns.append(Turn(seed=plan.encoder_seed(t), aims=aims[t], lr=2.0, chosen=chosen))
    images = _images(plan)
    moved, _ = optimise(plan, images, labels, turns, statistic="mean", factor=1, momentum=0.5, step=step)
    target = aggregate(plan, _sent(plan, base.holders))
    got, _ = _refined(plan, target, images, torch.tensor(labels), spec, REFERENCE)
    assert relative_error(got, moved) < 1e-6


RESUMED = [ServerSpec(passes=2), ServerSpec(passes=2, step="per-class", batch=1), ServerSpec(passes=2, reach=1e-3)]


@pytest.mark.parametrize("spec", RESUMED)
def test_refinement_goes_on_from_any_state_to_the_same_bits(spec: ServerSpec) -> None:
    plan = small_plan(statistics="moments", augment=OPERATIONS)
    target = aggregate(plan, [made_up(plan, name, HELD[name]) for name in plan.clients])
    start = initial_state(_images(plan), torch.tensor(LABELS), EAGER)
    whole = list(refine(plan, target, start, spec, engine=EAGER))
    assert [(r.steps, r.total) for r in whole] == [(i, 6) for i in range(1, 7)]
    for done in (1, 4, 6):
        rest = list(refine(plan, target, whole[done - 1].state, spec, engine=EAGER, done=done))
        assert [r.loss for r in rest] == [r.loss for r in whole[done:]]
        assert all(torch.equal(a.state.samples, b.state.samples) for a, b in zip(rest, whole[done:], strict=True))


def test_no_step_takes_an_image_further_than_the_reach_which_falls_with_the_rate() -> None:
    plan = small_plan()
    target = aggregate(plan, [made_up(plan, name, HELD[name]) for name in plan.clients])
    spec = ServerSpec(passes=2, lr=50.0, momentum=0.0, reach=0.2)
    before = initial_state(_images(plan), torch.tensor(LABELS), REFERENCE)
    for step, refinement in enumerate(refine(plan, target, before, spec, engine=REFERENCE)):
        moved = (refinement.state.samples - before.samples).numpy().reshape(len(LABELS), -1)
        lengths = np.sqrt((moved**2).mean(axis=1)) / before.samples.numpy().std()
        # Made-up targets pull hard: here no gradient counts in full.
        np.testing.assert_allclose(lengths, 0.2 * (1 + math.cos(math.pi * step / 6)) / 2, rtol=1e-9)
        before = refinement.state


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_reach_that_no_gradient_passes_changes_no_bit(
    round_of: Callable[[str], Round], schedule: Literal["constant", "cosine"]
) -> None:
    base = round_of("all")
    target = aggregate(base.plan, _sent(base.plan, base.holders))
    found = []
    for reach in (0.05, UNBOUNDED):
        spec = ServerSpec(passes=2, lr=0.02, schedule=schedule, reach=reach)
        found.append(_refined(base.plan, target, _images(base.plan), torch.tensor(LABELS), spec, EAGER))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert not torch.equal(found[0][0], _images(base.plan).float())


def test_tiny_pictures_one_per_class_are_refined_to_a_smaller_loss_and_not_thrown_away() -> None:
    digits = load_dataset("digits", splits=("train",)).train
    pixels = digits.values.reshape(-1, 1, 4, 2, 4, 2).mean(axis=(3, 5)).round().astype(np.uint8)
    sample = {"channels": 1, "height": 4, "width": 4, "normalisation": {"mean": (0.5,), "std": (0.5,)}}
    local = {"iterations": 20, "reuse": True}
    made = {"ipc": 1, "seeds": 20, "batch": 64, "local": local, "classes": digits.classes, "augment": ("crop",)}
    plan = small_plan(clients=("ada",), sample=sample, **made)
    sent = [contribute(plan, "ada", replace(digits, values=pixels), engine=EAGER)]
    target, begun = aggregate(plan, sent), initial_set(plan, sent)
    start, rose = initial_state(begun.samples, begun.labels, EAGER), []
    for spec in (ServerSpec(), ServerSpec(reach=UNBOUNDED)):
        *_, last = refine(plan, target, start, spec, engine=EAGER)
        found = tell_worse(plan, target, start, last.state, spec, engine=EAGER)
        assert found is not None
        rose.append(found["after"] / found["before"])
    bounded, unbounded = rose
    assert bounded < 0.95
    assert unbounded > 1.1


@pytest.mark.parametrize("statistic", ["mean", "moments"])
def test_a_set_that_refinement_made_worse_by_its_own_loss_is_told(
    round_of: Callable[[str], Round], statistic: str
) -> None:
    base = round_of("all")
    plan = base.plan.model_copy(update={"statistics": statistic})
    target = aggregate(plan, _sent(plan, base.holders))
    aims = global_aims(plan, base.holders, base.aims, "count")
    rows = {y: [i for i, label in enumerate(LABELS) if label == y] for y in range(3)}

    def plain(state: SyntheticState) -> float:
        losses = [
            float(synthetic_loss(plan, state.samples, rows[y], plan.encoder_seed(t), aim, statistic, 1))
            for t in range(plan.seeds)
            for y, aim in aims[t].items()
        ]
        return sum(losses) / plan.seeds

    far = initial_state(_images(plan), torch.tensor(LABELS), REFERENCE)
    *_, last = refine(plan, target, far, ServerSpec(passes=10, lr=1.0), engine=REFERENCE)
    spec = ServerSpec(lr=7.0)
    for start, end, told in ((far, last.state, []), (last.state, far, ["worse"]), (far, far, [])):
        events = list[Event]()
        found = tell_worse(plan, target, start, end, spec, engine=REFERENCE, report=events.append)
        assert found is not None
        assert found["seeds"] == plan.seeds
        assert found["before"] == pytest.approx(plain(start), rel=1e-6)
        assert found["after"] == pytest.approx(plain(end), rel=1e-6)
        said = [str(event.message) for event in events]
        assert [("worse" if "made the set worse" in one else one) for one in said] == told
        assert all("set server.lr below 7, or server.passes to 0" in one for one in said)


def test_a_refined_set_is_held_against_its_start_at_ten_seeds_at_most() -> None:
    for seeds, compared in ((1, 1), (10, 10), (11, 6), (25, 9)):
        plan = small_plan(seeds=seeds)
        target = aggregate(plan, [made_up(plan, name, HELD[name]) for name in plan.clients])
        state = initial_state(_images(plan), torch.tensor(LABELS), EAGER)
        found = tell_worse(plan, target, state, state, ServerSpec(), engine=EAGER)
        assert found is not None
        assert found["before"] == found["after"]
        assert found["seeds"] == compared
    assert tell_worse(plan, target, state, state, ServerSpec(passes=0), engine=EAGER) is None


@pytest.mark.parametrize(("change", "passes"), [({}, 0), ({"statistics": "none"}, 5), ({"seeds": 0}, 5)])
def test_no_passes_or_no_statistics_leave_the_initial_set_as_it_is(change: dict[str, object], passes: int) -> None:
    plan = small_plan(**change)
    target = aggregate(plan, [made_up(plan, name, HELD[name]) for name in plan.clients])
    spec = ServerSpec(passes=passes)
    images, losses = _refined(plan, target, _images(plan), torch.tensor(LABELS), spec, REFERENCE)
    assert losses == []
    assert torch.equal(images, _images(plan))


def test_a_bounded_refinement_ends_every_step_between_black_and_white() -> None:
    plan = small_plan()
    target = aggregate(plan, [made_up(plan, name, HELD[name]) for name in plan.clients])
    start, spec = _images(plan), ServerSpec(passes=1, bounded=True, schedule="constant")
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.25])
    free, _ = _refined(plan, target, start, torch.tensor(LABELS), spec.model_copy(update={"bounded": False}), REFERENCE)
    kept, _ = _refined(plan, target, start, torch.tensor(LABELS), spec, REFERENCE)

    def outside(images: Tensor) -> float:
        pixels = images.double().numpy() * std[:, None, None] + mean[:, None, None]
        return float(((pixels < -1e-6) | (pixels > 1 + 1e-6)).mean())

    assert outside(free) > 0.01
    assert outside(kept) == 0
    # A first step that leaves the range goes to its edge, in those values alone.
    first = next(refine(plan, target, initial_state(start, torch.tensor(LABELS), REFERENCE), spec, engine=REFERENCE))
    loose = spec.model_copy(update={"bounded": False})
    other = next(refine(plan, target, initial_state(start, torch.tensor(LABELS), REFERENCE), loose, engine=REFERENCE))
    low, high = (torch.from_numpy((edge - mean) / std).view(3, 1, 1).to(other.state.samples) for edge in (0.0, 1.0))
    torch.testing.assert_close(first.state.samples, other.state.samples.clamp(low, high), rtol=0, atol=1e-6)


def test_a_late_client_adds_and_a_leaving_one_is_left_out() -> None:
    plan = small_plan(clients=FIVE)
    contributions = _five(plan)
    some = aggregate(plan, contributions[:3])
    assert some.weights[0].tolist() == [5003, 8, 13]
    everyone = aggregate(plan, contributions)
    assert everyone.weights[0].tolist() == [5017, 10, 1012]
    fourth, fifth = (c.statistics[:, 0].astype(np.float64) for c in contributions[3:])
    expected = (5003 * some.values[:, 0] + fourth + 13 * fifth) / 5017
    assert relative_error(everyone.values[:, 0], expected) < 1e-12


@pytest.mark.parametrize("weighting", ["count", "uniform"])
@pytest.mark.parametrize("statistic", ["mean", "moments"])
def test_the_plain_mean_has_the_bits_of_a_running_sum_in_sorted_order(statistic: str, weighting: Weighting) -> None:
    plan = small_plan(clients=FIVE, statistics=statistic, participation=0.7)
    contributions = _five(plan)
    target = aggregate(plan, contributions[::-1], ServerSpec(weighting=weighting))
    for t, y in np.ndindex(plan.seeds, 3):
        holders = [c for c in contributions if t in plan.assigned(c.client) and c.held[y]]
        assert target.holders[t, y] == len(holders)
        weights = [float(c.held[y]) if weighting == "count" else 1.0 for c in holders]
        sent = [_sent_parts(plan, c, t, y) for c in holders]
        for j in range(sent[0].shape[1] if sent else 0):
            mean = second = total = 0.0
            for parts, weight in zip(sent, weights, strict=True):
                mean += float(parts[0, j]) * weight
                total += weight
                if statistic == "moments":
                    second += (float(parts[1, j]) + float(parts[0, j]) * float(parts[0, j])) * weight
            assert target.values[t, y, 0, j] == mean / total
            if statistic == "moments":
                assert target.values[t, y, 1, j] == max(second / total - (mean / total) * (mean / total), 0.0)


def _sent_parts(plan: Plan, contribution: Contribution, t: int, y: int) -> np.ndarray:
    row = plan.assigned(contribution.client).index(t)
    return contribution.statistics[row, contribution.classes_held.tolist().index(y)].astype(np.float64)


@pytest.mark.parametrize("statistic", ["mean", "moments"])
@pytest.mark.parametrize("lie", [-1.0, 1000.0, -1000.0])
def test_one_liar_among_three_holders_moves_the_target_within_the_honest_range(statistic: str, lie: float) -> None:
    plan = small_plan(clients=FIVE, statistics=statistic)
    held = [[3, 1, 0], [5000, 7, 2], [0, 9, 11], [1, 0, 0], [13, 2, 999]]
    honest = [made_up(plan, name, own) for name, own in zip(FIVE, held, strict=True)]
    liar = replace(honest[4], statistics=np.float32(lie) * honest[4].statistics, held=np.array([10**9] * 3))
    target = aggregate(plan, [*honest[:4], liar], TRIMMED)
    plain = aggregate(plan, [*honest[:4], liar])
    assert target.holders[0].tolist() == [4, 4, 3]
    assert target.unprotected.tolist() == [0, 0, 0]
    for t, y in np.ndindex(plan.seeds, 3):
        others = np.array([_sent_parts(plan, c, t, y) for c in honest[:4] if c.held[y]])
        mean = target.values[t, y, 0]
        assert ((mean >= others[:, 0].min(axis=0) - 1e-12) & (mean <= others[:, 0].max(axis=0) + 1e-12)).all()
        assert (np.abs(plain.values[t, y, 0]) > np.abs(others[:, 0]).max(axis=0)).any() or lie == -1.0
        if statistic == "moments":
            second = (others[:, 1] + others[:, 0] ** 2).max(axis=0)
            variance = target.values[t, y, 1]
            assert ((variance >= 0) & (variance <= second - mean**2 + 1e-12)).all()


def test_moments_are_trimmed_as_mean_and_second_moment() -> None:
    plan = small_plan(clients=FIVE, statistics="moments", seeds=1)
    contributions = [made_up(plan, name, [k + 1, 0, 0]) for k, name in enumerate(FIVE)]
    target = aggregate(plan, contributions, TRIMMED)
    sent = [_sent_parts(plan, c, 0, 0) for c in contributions]
    for j in range(sent[0].shape[1]):
        means = sorted((parts[0, j], k + 1) for k, parts in enumerate(sent))[1:-1]
        seconds = sorted((parts[1, j] + parts[0, j] ** 2, k + 1) for k, parts in enumerate(sent))[1:-1]
        mean, second = (sum(v * w for v, w in kept) / sum(w for _, w in kept) for kept in (means, seconds))
        assert target.values[0, 0, 0, j] == pytest.approx(mean, rel=1e-12)
        assert target.values[0, 0, 1, j] == pytest.approx(max(second - mean**2, 0), rel=1e-9, abs=1e-12)


def test_a_class_with_too_few_participants_is_counted_at_its_seeds() -> None:
    plan = small_plan(clients=FIVE, participation=0.6, seeds=12)
    target = aggregate(plan, _five(plan), TRIMMED)
    plain = aggregate(plan, _five(plan))
    held = {c.client: c.held for c in _five(plan)}
    few = np.array([[sum(held[k][y] > 0 for k in plan.participants(t)) for y in range(3)] for t in range(12)])
    assert target.holders.tolist() == few.tolist()
    assert target.unprotected.tolist() == ((few > 0) & (few < 3)).sum(axis=0).tolist()
    assert 0 < target.unprotected[0] < 12
    # There the mean is all that can be had.
    assert np.array_equal(target.values[few < 3], plain.values[few < 3])
    assert not np.isclose(target.values[few >= 3], plain.values[few >= 3]).all()


def test_what_a_client_says_to_hold_counts_up_to_the_plan_s_most() -> None:
    plan = small_plan(clients=("large", "small"), most_held=1000)
    large, small = made_up(plan, "large", [10**9, 1000, 3]), made_up(plan, "small", [500, 1001, 1])
    target = aggregate(plan, [large, small])
    for y, (first, second) in enumerate([(1000, 500), (1000, 1000), (3, 1)]):
        expected = (first * large.statistics[:, y].astype(float) + second * small.statistics[:, y].astype(float)) / (
            first + second
        )
        assert relative_error(target.values[:, y], expected) < 1e-12
    assert target.weights[0].tolist() == [1500, 2000, 4]
    assert aggregate(plan, [large, small], UNIFORM).weights[0].tolist() == [2, 2, 2]
    # How many samples are drawn, and everything else, stays as it was.
    assert target.drawn[0].tolist() == [2 * plan.batch, 2 * plan.batch, 4]


def test_nothing_is_aggregated_of_clients_that_send_no_statistics() -> None:
    plan = small_plan(statistics="none")
    target = aggregate(plan, [made_up(plan, name, [1, 2, 3]) for name in plan.clients], ServerSpec(clip=2.0))
    assert target.values.shape == (3, 3, 0, 48)


def _gram(embeddings: Tensor) -> Tensor:
    return embeddings.unsqueeze(2) * embeddings.unsqueeze(1)


POOLED = {
    "pooled mean": Statistic(terms=MEAN.terms, loss=MEAN.loss, pooled=True),
    "pooled moments": Statistic(
        terms=MOMENTS.terms, loss=MOMENTS.loss, finish=MOMENTS.finish, additive=MOMENTS.additive, pooled=True
    ),
    "pooled gram": Statistic(terms=(FIRST, Term(name="gram", of=_gram)), loss=MEAN.loss, pooled=True),
}


@pytest.fixture(scope="module")
def pooled_statistics() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, statistic in POOLED.items():
            patch.setitem(STATISTICS, name, statistic)
        yield


@pytest.mark.usefixtures("pooled_statistics")
@pytest.mark.parametrize("name", POOLED)
@settings(max_examples=10)
@given(owners=st.lists(st.integers(0, 3), min_size=14, max_size=14), one_of_each=st.booleans())
def test_a_pooled_statistic_is_that_of_all_samples_of_all_clients_however_they_are_split(
    make_samples: MakeSamples, name: str, owners: list[int], one_of_each: bool
) -> None:
    everything = make_samples([12, 1, 1] if one_of_each else [7, 4, 3], (3, 8, 12))
    names = ("a", "b", "c", "d")
    plan = small_plan(clients=names, batch=14, seeds=2, statistics=name, augment=OPERATIONS)
    rows = {client: np.flatnonzero(np.array(owners) == k) for k, client in enumerate(names)}
    holders = {client: everything.take(own) for client, own in rows.items() if len(own)}
    sent = _sent(plan, holders)
    assert all(one.statistics.shape[:2] == (2, 1) for one in sent)
    target = aggregate(plan, sent)
    features = 48
    assert target.values.shape == (2, 1, POOLED[name].rows(features), features)
    assert target.weights.tolist() == [[14.0]] * 2
    assert target.holders.tolist() == [[len(holders)]] * 2
    assert target.drawn.tolist() == [everything.counts().tolist()] * 2
    assert target.skipped == 0
    for t in range(2):
        vectors = _embedded(plan, everything, t)
        mean = vectors.mean(axis=0)
        assert relative_error(target.values[t, 0, 0], mean) < 1e-6
        if name == "pooled moments":
            difference = target.values[t, 0, 1] - vectors.var(axis=0)
            assert np.linalg.norm(difference) < 1e-6 * np.linalg.norm((vectors**2).mean(axis=0))
        if name == "pooled gram":
            assert relative_error(target.values[t, 0, 1:], vectors.T @ vectors / 14) < 1e-6


def _embedded(plan: Plan, samples: Samples, t: int) -> np.ndarray:
    """One sample after the other by the slow reference: [n, d]."""
    parameters, vectors = encoder_parameters(plan, plan.encoder_seed(t)), []
    for i, y in enumerate(samples.labels.tolist()):
        shown = augment_one(real_image(plan, samples, i), plan.augmentation(t, y))
        vectors.append(embed_one(parameters, shown).numpy())
    return np.stack(vectors)


@pytest.mark.usefixtures("pooled_statistics")
def test_a_pooled_statistic_weighs_by_all_that_is_held_each_class_up_to_the_most() -> None:
    plan = small_plan(clients=("large", "small"), most_held=1000, statistics="pooled mean")
    large, small = made_up(plan, "large", [10**9, 400, 3]), made_up(plan, "small", [0, 7, 0])
    counted, alike = (aggregate(plan, [large, small], spec) for spec in (ServerSpec(), UNIFORM))
    assert counted.weights.tolist() == [[1410.0]] * 3
    assert alike.weights.tolist() == [[2.0]] * 3
    first, second = (one.statistics.astype(np.float64) for one in (large, small))
    assert relative_error(counted.values, (1403 * first + 7 * second) / 1410) < 1e-12
    assert relative_error(alike.values, (first + second) / 2) < 1e-12
    assert counted.drawn[0].tolist() == [plan.batch, 2 * plan.batch, 3]
    assert counted.holders.tolist() == [[2]] * 3
    assert counted.unprotected.tolist() == [3]


@pytest.mark.usefixtures("pooled_statistics")
def test_pooled_refinement_follows_the_gradient_of_one_loss_a_seed(make_samples: MakeSamples) -> None:
    plan = small_plan(statistics="pooled mean", seeds=2, batch=14, participation=0.4, augment=OPERATIONS)
    holders = {name: make_samples(counts, plan.sample.shape, k) for k, (name, counts) in enumerate(HELD.items())}
    target = aggregate(plan, _sent(plan, holders))
    images = _images(plan).requires_grad_()
    optimizer, expected = torch.optim.SGD([images], lr=2.0, momentum=0.5), []
    for t in range(2):
        (client,) = plan.participants(t)
        real = _embedded(plan, holders[client], t).mean(axis=0)
        parameters = encoder_parameters(plan, plan.encoder_seed(t))
        # Only what the participant holds is matched.
        shown = [
            embed_one(parameters, augment_one(image, plan.augmentation(t, y)))
            for image, y in zip(images, LABELS, strict=True)
            if HELD[client][y]
        ]
        loss = (torch.from_numpy(real) - torch.stack(shown).mean(dim=0)).square().sum()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    got, losses = _refined(plan, target, _images(plan), torch.tensor(LABELS), ONE_PASS, REFERENCE)
    assert losses == pytest.approx(expected, rel=1e-6)
    assert relative_error(got, images.detach()) < 1e-6


def test_distillation_is_the_union_refined_towards_the_aggregate() -> None:
    plan = small_plan(clients=FIVE, ipc=3, statistics="moments", augment=OPERATIONS, encoding="fp16")
    contributions, events = _five(plan), list[Event]()
    start, spec = initial_set(plan, contributions), ServerSpec(passes=2, lr=2.0, aggregation="trimmed")
    images, losses = _refined(plan, aggregate(plan, contributions, spec), start.samples, start.labels, spec, EAGER)
    product = distill(plan, iter(contributions[::-1]), spec, facts={"dataset": "made up"}, report=events.append)
    assert torch.equal(product.samples, images)
    assert torch.equal(product.labels, start.labels)
    assert (product.classes, product.sample, product.tiles) == (plan.classes, plan.sample, 1)
    assert (product.augment, product.method) == (OPERATIONS, "collabdm")
    assert product.facts["dataset"] == "made up"
    assert product.facts["plan"] == plan_digest(plan)
    assert [(event.done, event.total, event.loss) for event in events] == [
        (step, 6, loss) for step, loss in enumerate(losses, 1)
    ]


def test_a_class_that_nobody_holds_is_missing_from_the_product_and_told() -> None:
    plan, events = small_plan(seeds=1), list[Event]()
    sent = [made_up(plan, name, [3, 0, 2]) for name in plan.clients]
    product = distill(plan, sent, ONE_PASS, report=events.append)
    assert product.labels.tolist() == [0, 0, 2, 2]
    assert product.classes == plan.classes
    assert [event.message for event in events if event.message] == ["nobody holds class 1: missing from the set"]


def test_nothing_contributed_and_samples_that_diverge_are_refused() -> None:
    plan = small_plan()
    with pytest.raises(QuorumError, match="contributions: got none"):
        distill(plan, [])
    sent = [made_up(plan, name, HELD[name]) for name in plan.clients]
    with pytest.raises(ConfigError, match=r"diverged at server.lr = 1e\+38; expected finite values"):
        distill(plan, sent, ServerSpec(lr=1e38, reach=1e38))


WRONG: dict[str, tuple[Callable[[Contribution], Contribution], str]] = {
    "foreign client": (lambda c: replace(c, client="zoe"), "contribution of zoe: got a client that the plan does not"),
    "no text": (lambda c: replace(c, client=3), "contribution of 3: got a client that the plan does not name"),  # type: ignore[arg-type]
    "twice": (lambda c: replace(c, client="bob"), "contribution of bob: got two of that client"),
    "another plan": (lambda c: replace(c, fingerprint="0" * 64), "contribution of ada: got encoder fingerprint 000"),
    "held": (lambda c: replace(c, held=c.held[:2]), r"held int64\[2\]; expected int64\[3\]"),
    "nothing held": (lambda c: replace(c, held=0 * c.held), "no or negative counts in held"),
    "a list": (lambda c: replace(c, held=[6, 0, 2]), "held of type list"),  # type: ignore[arg-type]
    "seeds": (lambda c: replace(c, statistics=c.statistics[1:]), r"got statistics float32\[2, 2, 1, 48\]; expected"),
    "shape": (lambda c: replace(c, samples=c.samples[..., 1:]), r"got images float32\[2, 3, 8, 11\]; expected"),
    "labels": (lambda c: replace(c, labels=c.labels + 9), "got labels out of range; expected 0 <= labels < 3"),
    "not held": (lambda c: replace(c, labels=0 * c.labels + 1), "got images of a class it does not hold"),
    "NaN": (lambda c: replace(c, statistics=np.nan * c.statistics), "got NaN or infinity in statistics"),
    "infinity": (lambda c: replace(c, samples=np.float32(np.inf) * c.samples), "got NaN or infinity in images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_answer_the_plan_is_refused_in_one_line(case: str) -> None:
    plan = small_plan()
    change, told = WRONG[case]
    sent = [change(made_up(plan, "ada", HELD["ada"])), *(made_up(plan, name, HELD[name]) for name in ("bob", "cid"))]
    for verb in (aggregate, distill):
        with pytest.raises(ContributionError, match=told) as error:
            verb(plan, sent)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("participation", [0.4, 1.0])
def test_contributions_of_clients_that_take_part_in_some_seeds_are_accepted(participation: float) -> None:
    plan = small_plan(seeds=5, participation=participation)
    sent = [made_up(plan, name, HELD[name]) for name in plan.clients]
    assert aggregate(plan, sent).values.shape == (5, 3, 1, 48)


def test_contributions_are_a_list() -> None:
    plan = small_plan()
    one = made_up(plan, "ada", HELD["ada"])
    for given_instead, told in (
        (one, "got a single Contribution"),
        (None, "got NoneType"),
        ({"ada": one}, "got dict"),
        ([b"bytes"], "got a bytes among them"),
    ):
        for verb in (aggregate, distill):
            with pytest.raises(ContributionError, match=f"{told}; expected a list of contributions; fix: pass a list"):
                verb(plan, given_instead)  # type: ignore[operator]


def test_the_rate_is_the_modalitys_where_none_is_set() -> None:
    images = small_plan()
    iris = load_dataset("iris").preset
    rows = make_plan(Config(modality="tables", method="collabdm"), clients=["a"], preset=iris)
    assert (ServerSpec().fitted(rows).lr, ServerSpec().fitted(images).lr) == (0.1, 20.0)
    # From noise a set has all the way to go.
    promised = {"privacy": {"epsilon": 10, "delta": 1e-5}}
    private = make_plan(Config(modality="tables", method="collabdm", plan=promised), clients=["a"], preset=iris)
    assert (ServerSpec().fitted(private).lr, ServerSpec().fitted(private).passes) == (2.0, 60)
    assert ServerSpec(passes=5).fitted(private).passes == 5
    digits = make_plan(Config(method="collabdm", plan=promised), clients=["a"], preset=load_dataset("digits").preset)
    assert (ServerSpec().fitted(digits).lr, ServerSpec().fitted(digits).passes) == (20.0, 60)
    many = private.model_copy(update={"seeds": 200})
    assert (ServerSpec().fitted(many).passes, ServerSpec().fitted(many.model_copy(update={"seeds": 0})).passes) == (
        5,
        600,
    )
    assert ServerSpec(lr=0.3).fitted(private).lr == 0.3
    assert ServerSpec(lr=20.0).fitted(rows).lr == 20.0  # the usual one is set
    fitted = ServerSpec(passes=2).fitted(rows)
    assert (fitted.passes, fitted.fitted(rows)) == (2, fitted)
    # A run folder keeps what was not set open, and what was set.
    assert not {"lr", "passes"} & set(tomllib.loads(config_toml(Config()).decode())["server"])
    asked = tomllib.loads(config_toml(Config(server={"lr": 20.0})).decode())
    assert make_config(asked).server.fitted(rows).lr == 20.0


def test_a_table_moves_at_its_own_rate_and_its_set_says_so() -> None:
    rows = load_dataset("iris").train
    config = Config(modality="tables", method="collabdm", ipc=2, plan={"seeds": 2})
    plan = make_plan(config, clients={"a": rows}, preset=load_dataset("iris").preset)
    answers = [contribute(plan, "a", rows)]
    usual, asked = distill(plan, answers), distill(plan, answers, ServerSpec(lr=0.1))
    assert torch.equal(usual.samples, asked.samples)
    assert not torch.equal(usual.samples, distill(plan, answers, ServerSpec(lr=20.0)).samples)
    assert usual.facts["server"] == asked.facts["server"]
    assert usual.facts["server"]["lr"] == 0.1  # pyright: ignore
