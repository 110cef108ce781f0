"""The local stage (distribution matching) against the slow loop, and the sizes and starts of local sets."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collabdm.client import client_sums
from collabdm.data import Samples
from collabdm.engine import EAGER, REFERENCE, Engine
from collabdm.local import distill_locally
from collabdm.matching.statistic import joint_terms
from collabdm.matching.sums import Sums
from collabdm.progress import Event
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from reference import OPERATIONS, local_turns, optimise, pack_one, real_image, relative_error, small_plan

SHAPE = (3, 8, 12)
MakeSamples = Callable[..., Samples]


def _run(
    plan: Plan, samples: Samples, client: str = "bob", engine: Engine = REFERENCE, events: list[Event] | None = None
) -> tuple[np.ndarray, list[int]]:
    matched = plan.local.statistic
    sums = Sums(
        terms=joint_terms([plan.statistic] if matched is None else [plan.statistic, matched]),
        seeds=plan.assigned(client),
        drawn={y: min(plan.batch, int(held)) for y, held in enumerate(samples.counts()) if held},
        values=client_sums(plan, client, samples, engine=engine),
    )
    report = (lambda event: None) if events is None else events.append
    local = distill_locally(plan, client, samples, sums, engine=engine, report=report)
    assert local["samples"].dtype == np.float32
    assert local["labels"].dtype == np.int64
    return local["samples"], local["labels"].tolist()


def _start(plan: Plan, samples: Samples, client: str) -> tuple[torch.Tensor, list[int]]:
    """Real initialisation: drawn samples of each class held, `tiles**2` of them shrunk into one image."""
    images, labels, tiles = [], [], plan.tiles**2
    for y in range(len(plan.classes)):
        rows = [i for i, label in enumerate(samples.labels) if label == y]
        if not rows:
            continue
        count = min(plan.ipc // len(plan.clients) + 1, max(1, len(rows) // tiles))
        drawn = Stream(plan.seed, "local-init", client, y).choose(len(rows), count * tiles)
        # With fewer samples than tiles in the one image, they come round again.
        chosen = [real_image(plan, samples, rows[drawn[k % len(drawn)]]) for k in range(count * tiles)]
        images += [pack_one(chosen[k : k + tiles], plan.tiles) for k in range(0, len(chosen), tiles)]
        labels += [y] * count
    return torch.stack(images), labels


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("reuse", [True, False])
def test_the_local_set_is_that_of_the_slow_loop(make_samples: MakeSamples, reuse: bool, factor: int) -> None:
    samples = make_samples([9, 0, 5], SHAPE)
    plan = small_plan(
        tiles=factor,
        ipc=4,
        augment=OPERATIONS,
        local={"iterations": 5, "reuse": reuse, "lr": 1.5, "momentum": 0.6, "batch": 3},
    )
    start, labels = _start(plan, samples, "bob")
    statistic = "moments" if factor > 1 else "mean"
    expected, history = optimise(
        plan,
        start,
        labels,
        local_turns(plan, "bob", samples),
        statistic=statistic,
        factor=factor,
        momentum=0.6,
        step="joint",
    )
    assert relative_error(start, expected) > 1e-3
    for engine, tolerance in ((REFERENCE, 1e-6), (EAGER, 1e-4)):
        events: list[Event] = []
        images, got = _run(plan, samples, engine=engine, events=events)
        assert got == labels
        assert relative_error(images, expected) < tolerance
        losses = [event.loss for event in events if event.stage == "local"]
        assert losses == pytest.approx([sum(turn.values()) for turn in history], rel=tolerance)


@pytest.mark.parametrize("reuse", [True, False])
def test_one_sample_of_a_class_is_matched_without_deviations(make_samples: MakeSamples, reuse: bool) -> None:
    samples = make_samples([6, 1, 3], SHAPE)
    plan = small_plan(tiles=2, augment=("scale",), local={"iterations": 4, "reuse": reuse})
    start, labels = _start(plan, samples, "bob")
    assert labels == [0, 1, 2]
    turns = local_turns(plan, "bob", samples)
    assert all(turn.aims[1].drawn == 1 for turn in turns)
    expected, _ = optimise(
        plan, start, labels, turns, statistic="moments", factor=2, momentum=plan.local.momentum, step="joint"
    )
    assert relative_error(_run(plan, samples)[0], expected) < 1e-6


def test_every_pass_of_reuse_visits_all_seeds_in_a_new_order(make_samples: MakeSamples) -> None:
    samples = make_samples([3, 3, 3], SHAPE)
    plan = small_plan(seeds=5, local={"iterations": 15, "reuse": True})
    seeds = [turn.seed for turn in local_turns(plan, "bob", samples)]
    passes = [seeds[i : i + 5] for i in (0, 5, 10)]
    assert all(sorted(order) == sorted(passes[0]) for order in passes)
    assert len({tuple(order) for order in passes}) > 1
    expected, _ = optimise(
        plan,
        *_start(plan, samples, "bob"),
        local_turns(plan, "bob", samples),
        statistic="mean",
        factor=1,
        momentum=plan.local.momentum,
        step="joint",
    )
    assert relative_error(_run(plan, samples)[0], expected) < 1e-6


def test_fresh_draws_do_not_come_back(make_samples: MakeSamples) -> None:
    samples = make_samples([9, 9, 9], SHAPE)
    plan = small_plan(seeds=2, local={"iterations": 6, "reuse": False, "batch": 2})
    turns = local_turns(plan, "bob", samples)
    assert len({turn.seed for turn in turns}) == 6
    assert not {turn.seed for turn in turns} & {plan.encoder_seed(t) for t in range(2)}


def test_a_client_that_no_seed_assigns_draws_fresh(make_samples: MakeSamples) -> None:
    samples = make_samples([4, 3, 2], SHAPE)
    plan = small_plan(seeds=1, participation=0.4, local={"iterations": 3, "batch": 2})
    (idle, *_) = (name for name in plan.clients if name not in plan.participants(0))
    start, labels = _start(plan, samples, idle)
    expected, _ = optimise(
        plan,
        start,
        labels,
        local_turns(plan, idle, samples),
        statistic="mean",
        factor=1,
        momentum=plan.local.momentum,
        step="joint",
    )
    assert relative_error(_run(plan, samples, client=idle)[0], expected) < 1e-6


@given(
    counts=st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any),
    ipc=st.integers(1, 12),
    clients=st.integers(1, 5),
    factor=st.sampled_from([1, 2]),
    init=st.sampled_from(["real", "noise"]),
)
def test_at_most_a_share_of_ipc_of_every_class_held(
    make_samples: MakeSamples, counts: list[int], ipc: int, clients: int, factor: int, init: str
) -> None:
    names = tuple(f"client {k}" for k in range(clients))
    plan = small_plan(seeds=0, clients=names, ipc=ipc, tiles=factor, local={"iterations": 0, "init": init})
    images, labels = _run(plan, make_samples(counts, SHAPE), client=names[-1])
    assert images.shape == (len(labels), *SHAPE)
    assert labels == sorted(labels)
    for y, held in enumerate(counts):
        made = labels.count(y)
        assert made <= ipc // clients + 1
        assert made >= (1 if held else 0)
        assert held or not made
        # Enough samples: the whole share.
        assert made == ipc // clients + 1 or held < (ipc // clients + 1) * factor**2


def test_a_real_start_is_distinct_samples_of_the_class(make_samples: MakeSamples) -> None:
    samples = make_samples([9, 1, 4], SHAPE)
    plan = small_plan(ipc=9)
    images, labels = _run(plan, samples)
    assert labels == [0] * 4 + [1] + [2] * 4
    origins = []
    for image, y in zip(images, labels, strict=True):
        errors = [relative_error(image, real_image(plan, samples, i)) for i in range(len(samples))]
        origins.append(int(np.argmin(errors)))
        assert min(errors) < 1e-6
        assert samples.labels[origins[-1]] == y
    assert len(set(origins)) == len(origins)


def test_a_noise_start_holds_no_real_image_and_looks_normalised(make_samples: MakeSamples) -> None:
    samples = make_samples([30, 30, 30], SHAPE)
    plan = small_plan(ipc=20, local={"iterations": 0, "init": "noise"})
    images, labels = _run(plan, samples)
    assert len(labels) == 21
    assert abs(images.mean()) < 0.05
    assert images.std() == pytest.approx(1.0, abs=0.05)
    assert np.abs(images).max() <= math.sqrt(3) + 1e-6
    other_data, _ = _run(plan, make_samples([30, 30, 30], SHAPE, seed=1))
    assert np.array_equal(images, other_data)
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize(
    "local", [{"iterations": 3}, {"iterations": 3, "reuse": False}, {"iterations": 3, "init": "noise"}]
)
def test_the_same_client_gives_the_same_bits_and_another_does_not(
    make_samples: MakeSamples, local: dict[str, Any]
) -> None:
    samples, plan = make_samples([9, 9, 9], SHAPE), small_plan(local=local)
    first, _ = _run(plan, samples, engine=EAGER)
    other, _ = _run(plan, samples, client="cid", engine=EAGER)
    again, _ = _run(plan, samples, engine=EAGER)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-2)


def test_more_iterations_bring_the_statistics_closer(make_samples: MakeSamples) -> None:
    samples = make_samples([12, 12, 12], SHAPE)
    plan = small_plan(seeds=4, batch=12, local={"iterations": 40, "init": "noise", "lr": 10.0})
    events: list[Event] = []
    _run(plan, samples, engine=EAGER, events=events)
    losses = [event.loss for event in events if event.stage == "local" and event.loss is not None]
    assert len(losses) == 40
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])
