"""What a client sends, against the slow reference; and what is kept of its costly results."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collabdm.client import client_sums, contribute, site, sums, sums_key
from collabdm.data import Samples
from collabdm.engine import EAGER, REFERENCE
from collabdm.errors import CollabDMError, DataError, PlanError
from collabdm.matching.gram import FeatureMoments, FeatureSums
from collabdm.matching.statistic import STATISTICS
from collabdm.progress import Event
from collabdm.protocol import (
    Contribution,
    Plan,
    acceptance,
    decode_contribution,
    encode_contribution,
    feature_parameters,
)
from collabdm.rounds import contributing
from collabdm.rounds.contributing import cached_contribution
from collabdm.storage import checkpoints
from collabdm.storage.kept_results import KeptResults
from reference import OPERATIONS, Aim, client_aims, real_image, relative_error, small_plan

SHAPE = (3, 8, 12)
MakeSamples = Callable[..., Samples]


def _cells(contribution: Contribution, plan: Plan) -> dict[tuple[int, int], np.ndarray]:
    """The parts [parts, d] by (t, y)."""
    return {
        (t, int(y)): contribution.statistics[row, column]
        for row, t in enumerate(plan.assigned(contribution.client))
        for column, y in enumerate(contribution.classes_held)
    }


def _worst(aims: dict[tuple[int, int], Aim], cells: dict[tuple[int, int], np.ndarray]) -> float:
    assert sorted(cells) == sorted(aims)
    worst = 0.0
    for cell, aim in aims.items():
        mean, variance = cells[cell]
        worst = max(worst, relative_error(mean, aim.mean))
        # A variance is as exact as the square that it is taken from.
        worst = max(
            worst, float(np.linalg.norm(variance - aim.variance().numpy()) / np.linalg.norm(aim.square.numpy()))
        )
    return worst


@pytest.mark.parametrize("operation", ["none", *OPERATIONS])
def test_means_and_variances_are_those_of_the_slow_loop(make_samples: MakeSamples, operation: str) -> None:
    samples = make_samples([6, 0, 3], SHAPE)
    plan = small_plan(statistics="moments", augment=() if operation == "none" else (operation,))
    aims = client_aims(plan, "bob", samples)
    assert len(aims) == 6
    for engine, tolerance in ((REFERENCE, 1e-6), (EAGER, 1e-5)):
        sent = contribute(plan, "bob", samples, engine=engine)
        assert sent.statistics.dtype == np.float32
        assert _worst(aims, _cells(sent, plan)) < tolerance


def test_every_class_and_seed_may_have_its_own_augmentation(make_samples: MakeSamples) -> None:
    samples = make_samples([3, 4, 5], SHAPE)
    plan = small_plan(statistics="moments", augment=OPERATIONS, seeds=4)
    drawn = [plan.augmentation(t, y) for t in range(4) for y in range(3)]
    assert len({a.operation for a in drawn if a}) > 2
    sent = contribute(plan, "ada", samples, engine=REFERENCE)
    assert _worst(client_aims(plan, "ada", samples), _cells(sent, plan)) < 1e-6


def test_mean_alone_is_the_first_part_of_moments(make_samples: MakeSamples) -> None:
    samples = make_samples([6, 2, 3], SHAPE)
    sent = {
        name: contribute(small_plan(statistics=name), "bob", samples, engine=EAGER).statistics
        for name in ("mean", "moments", "none")
    }
    assert sent["mean"].shape == (3, 3, 1, 8 * 2 * 3)
    assert np.array_equal(sent["mean"], sent["moments"][:, :, :1])
    assert sent["none"].shape == (3, 3, 0, 8 * 2 * 3)


def test_a_pooled_statistic_is_that_of_all_samples_drawn(
    make_samples: MakeSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATISTICS, "pooled", replace(STATISTICS["moments"], pooled=True))
    samples = make_samples([6, 0, 3], SHAPE)
    aims = client_aims(small_plan(augment=OPERATIONS), "bob", samples)
    sent = contribute(small_plan(statistics="pooled", augment=OPERATIONS), "bob", samples, engine=REFERENCE)
    assert sent.statistics.shape == (3, 1, 2, 8 * 2 * 3)
    for t in range(3):
        drawn = [aims[t, y].drawn for y in (0, 2)]
        assert drawn == [4, 3]
        mean, square = (
            (drawn[0] * a + drawn[1] * b) / 7
            for a, b in ((aims[t, 0].mean, aims[t, 2].mean), (aims[t, 0].square, aims[t, 2].square))
        )
        assert relative_error(sent.statistics[t, 0, 0], mean) < 1e-6
        assert relative_error(torch.from_numpy(sent.statistics[t, 0, 1]) + mean * mean, square) < 1e-6


def test_held_counts_all_samples_not_those_drawn(make_samples: MakeSamples) -> None:
    samples = make_samples([9, 0, 2], SHAPE)
    sent = contribute(small_plan(batch=4), "cid", samples, engine=EAGER)
    assert sent.held.tolist() == [9, 0, 2]
    assert sent.held.dtype == np.int64
    assert sent.classes_held.tolist() == [0, 2]


def test_a_batch_above_what_is_held_takes_every_sample_once(make_samples: MakeSamples) -> None:
    samples = make_samples([5, 2, 1], SHAPE)
    sent = [
        contribute(small_plan(batch=batch, statistics="moments"), "ada", samples, engine=REFERENCE).statistics
        for batch in (5, 6, 5000)
    ]
    assert relative_error(sent[1], sent[0]) < 1e-6
    assert relative_error(sent[2], sent[0]) < 1e-6


def test_one_sample_of_a_class_has_no_variance(make_samples: MakeSamples) -> None:
    sent = contribute(small_plan(statistics="moments"), "ada", make_samples([4, 1, 2], SHAPE), engine=REFERENCE)
    mean, variance = sent.statistics[:, 1, 0], sent.statistics[:, 1, 1]
    assert np.abs(variance).max() <= 1e-12 * np.abs(mean).max() ** 2


def test_only_assigned_seeds_are_computed(make_samples: MakeSamples) -> None:
    samples, plan = make_samples([4, 1, 2], SHAPE), small_plan(participation=0.4, seeds=9)
    total = 0
    for name in plan.clients:
        assigned = [t for t in range(9) if name in plan.participants(t)]
        total += len(assigned)
        events: list[Event] = []
        values = client_sums(plan, name, samples, engine=EAGER, report=events.append)
        assert len(values) == len(assigned)
        assert [(event.done, event.total) for event in events] == [(i + 1, len(assigned)) for i in range(len(assigned))]
    assert total == 9


def test_a_client_without_seeds_still_sends_its_local_set(make_samples: MakeSamples) -> None:
    samples = make_samples([4, 1, 2], SHAPE)
    plan = small_plan(participation=0.4, seeds=1, statistics="mean", local={"iterations": 2, "batch": 3})
    (idle, *_) = (name for name in plan.clients if name not in plan.participants(0))
    sent = contribute(plan, idle, samples, engine=EAGER)
    assert sent.statistics.shape[:2] == (0, 3)
    assert sorted(sent.labels.tolist()) == [0, 1, 2]
    content = encode_contribution(sent, plan)
    decoded = decode_contribution(content, plan, expected=acceptance(plan))
    assert decoded.statistics.shape == (0, 3, 1, 48)


def test_clients_and_seeds_draw_different_batches(make_samples: MakeSamples) -> None:
    samples = make_samples([9, 9, 9], SHAPE)
    plan = small_plan(batch=2)
    ada, bob = (contribute(plan, name, samples, engine=EAGER).statistics for name in ("ada", "bob"))
    assert not np.allclose(ada, bob, rtol=1e-3)
    assert not np.allclose(ada[0], ada[1], rtol=1e-3)


def test_neither_chunks_nor_threads_nor_the_order_of_clients_change_a_contribution(make_samples: MakeSamples) -> None:
    samples, plan = make_samples([7, 3, 5], SHAPE), small_plan(statistics="moments", batch=6)
    alone = contribute(plan, "cid", samples, engine=REFERENCE)
    for threads, chunk in ((1, 4), (2, 3), (3, 1)):
        engine = REFERENCE.model_copy(update={"chunk": chunk, "threads": threads})
        assert relative_error(contribute(plan, "cid", samples, engine=engine).statistics, alone.statistics) < 1e-6
    for name in ("bob", "ada"):
        contribute(plan, name, samples, engine=REFERENCE)
    again = contribute(plan, "cid", samples, engine=REFERENCE)
    assert encode_contribution(again, plan) == encode_contribution(alone, plan)


def test_float_pixels_are_as_good_as_eight_bit_ones(make_samples: MakeSamples) -> None:
    samples, plan = make_samples([4, 2, 3], SHAPE), small_plan()
    scaled = Samples(values=(samples.values / 255).astype(np.float32), labels=samples.labels, classes=samples.classes)
    eight_bit, floats = (contribute(plan, "ada", s, engine=REFERENCE).statistics for s in (samples, scaled))
    assert relative_error(floats, eight_bit) < 1e-5


@pytest.mark.parametrize("encoding", ["fp32", "fp16", "int8"])
def test_what_arrives_is_what_was_sent(make_samples: MakeSamples, encoding: str) -> None:
    samples = make_samples([4, 0, 2], SHAPE)
    plan = small_plan(encoding=encoding, statistics="moments", local={"iterations": 1})
    sent = contribute(plan, "bob", samples, engine=EAGER)
    content = encode_contribution(sent, plan)
    arrived = decode_contribution(content, plan, expected=acceptance(plan))
    tolerance = {"fp32": 0.0, "fp16": 1e-3, "int8": 1e-2}[encoding]
    assert relative_error(arrived.statistics, sent.statistics) <= tolerance
    assert relative_error(arrived.samples, sent.samples) <= tolerance
    assert np.array_equal(arrived.labels, sent.labels)
    assert np.array_equal(arrived.held, sent.held)
    assert arrived.client == "bob"
    if encoding != "int8":  # What was rounded once is not rounded again; there, a scale may move by its last bit.
        assert encode_contribution(arrived, plan) == content


@pytest.mark.parametrize(
    ("client", "change", "kind"),
    [
        ("eve", {}, PlanError),
        ("ada", {"counts": [0, 0, 0]}, DataError),
        ("ada", {"shape": (3, 8, 8)}, DataError),
        ("ada", {"shape": (1, 8, 12)}, DataError),
        ("ada", {"counts": [2, 2]}, DataError),
    ],
)
def test_a_client_or_data_that_do_not_fit_are_refused(
    make_samples: MakeSamples, client: str, change: dict[str, Any], kind: type[CollabDMError]
) -> None:
    samples = make_samples(**{"counts": [2, 2, 2], "shape": SHAPE} | change)
    with pytest.raises(kind) as caught:
        contribute(small_plan(), client, samples, engine=EAGER)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ("got", "expected", "fix"))
    assert caught.value.exit_code == 2


def _stored(folder: Path) -> tuple[int, int]:
    names = [path.name for path in folder.glob("*.safetensors")]
    return sum(name.startswith("statistics-") for name in names), sum(name.startswith("local-") for name in names)


def test_stored_stages_give_the_same_bytes_and_are_not_computed_again(
    make_samples: MakeSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = make_samples([6, 1, 3], SHAPE)
    plan = small_plan(local={"iterations": 2}, statistics="moments")
    kept = KeptResults(tmp_path / "kept")
    fresh = encode_contribution(contribute(plan, "ada", samples, engine=EAGER), plan)
    first = encode_contribution(contribute(plan, "ada", samples, engine=EAGER, kept=kept), plan)
    assert _stored(tmp_path / "kept") == (1, 1)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(sums, "client_sums", refuse)
    monkeypatch.setattr(site, "distill_locally", refuse)
    second = encode_contribution(contribute(plan, "ada", samples, engine=EAGER, kept=kept), plan)
    assert fresh == first == second


def test_an_interrupted_stage_of_statistics_goes_on_after_its_last_block(
    make_samples: MakeSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    samples, plan = make_samples([6, 1, 3], SHAPE), small_plan(seeds=7, local={"iterations": 2})
    fresh = encode_contribution(contribute(plan, "ada", samples, engine=EAGER), plan)
    seen: list[int] = []
    for stop in (2, 5, None):

        def report(event: Event, stop: int | None = stop) -> None:
            if event.stage == "statistics":
                seen.append(event.done)
                if event.done == stop:
                    raise KeyboardInterrupt

        def asked(report: Callable[[Event], None] = report) -> bytes:
            return cached_contribution(plan, "ada", samples, tmp_path, engine=EAGER, report=report)

        if stop is None:
            assert asked() == fresh
        else:
            with pytest.raises(KeyboardInterrupt):
                asked()
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    # Finished: one file and its digest, from which a repeated request is answered, whatever the engine.
    kept, digest = sorted(tmp_path.iterdir())
    assert kept.read_bytes() == fresh
    assert digest.read_text() == f"{hashlib.sha256(fresh).hexdigest()}  {kept.name}\n"
    monkeypatch.setattr(contributing, "contribute", None)
    assert cached_contribution(plan, "ada", samples, tmp_path, engine=REFERENCE) == fresh


@pytest.mark.parametrize("change", ["plan", "client", "data"])
def test_another_request_is_not_answered_from_the_cache(change: str, make_samples: MakeSamples, tmp_path: Path) -> None:
    plans = {"plan": small_plan(seed=12)}
    samples = {"data": make_samples([6, 1, 3], SHAPE, 1)}
    plan, own = small_plan(), make_samples([6, 1, 3], SHAPE)
    cached_contribution(plan, "ada", own, tmp_path, engine=EAGER)
    asked, client, data = plans.get(change, plan), "bob" if change == "client" else "ada", samples.get(change, own)
    got = cached_contribution(asked, client, data, tmp_path, engine=EAGER)
    assert got == encode_contribution(contribute(asked, client, data, engine=EAGER), asked)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: content[:-1] + b"!", lambda _: b""])
def test_what_was_damaged_in_the_cache_is_computed_again(
    damage: Callable[[bytes], bytes], make_samples: MakeSamples, tmp_path: Path
) -> None:
    plan, samples = small_plan(), make_samples([6, 1, 3], SHAPE)
    fresh = cached_contribution(plan, "ada", samples, tmp_path, engine=EAGER)
    (kept,) = tmp_path.glob("*.safetensors")
    kept.write_bytes(damage(fresh))
    assert cached_contribution(plan, "ada", samples, tmp_path, engine=EAGER) == fresh
    assert kept.read_bytes() == fresh
    (digest,) = tmp_path.glob("*.sha256")
    digest.unlink()
    assert cached_contribution(plan, "ada", samples, tmp_path, engine=EAGER) == fresh
    assert digest.exists()


def test_plans_share_statistics_that_they_agree_on(make_samples: MakeSamples, tmp_path: Path) -> None:
    samples, kept = make_samples([6, 1, 3], SHAPE), KeptResults(tmp_path)
    changes: list[dict[str, Any]] = [
        {},
        {"statistics": "moments"},
        {"statistics": "none"},
        {"encoding": "fp16"},
        {"version": 1},
        {"tiles": 2},
        {"ipc": 5},
        {"local": {"iterations": 1}},
    ]
    locals_expected = [1, 1, 1, 1, 1, 2, 3, 4]
    for change, expected in zip(changes, locals_expected, strict=True):
        plan = small_plan(**change)
        sent = contribute(plan, "ada", samples, engine=EAGER, kept=kept)
        assert _stored(tmp_path) == (1, expected)
        alone = contribute(plan, "ada", samples, engine=EAGER)
        assert encode_contribution(sent, plan) == encode_contribution(alone, plan)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 12},
        {"batch": 3},
        {"seeds": 4},
        {"augment": ("flip",)},
        {"participation": 0.7},
        {"network": {"name": "convnet", "width": 8, "depth": 1}},
        {"sample": {"normalisation": {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.5)}}},
        {"clients": ("ada", "bob")},
    ],
)
def test_plans_that_differ_share_nothing(make_samples: MakeSamples, tmp_path: Path, change: dict[str, Any]) -> None:
    samples, kept = make_samples([6, 1, 3], SHAPE), KeptResults(tmp_path)
    for number, plan in enumerate((small_plan(), small_plan(**change))):
        sent = contribute(plan, "ada", samples, engine=EAGER, kept=kept)
        assert _stored(tmp_path) == (number + 1, number + 1)
        alone = contribute(plan, "ada", samples, engine=EAGER)
        assert encode_contribution(sent, plan) == encode_contribution(alone, plan)


def test_other_data_another_client_or_engine_share_nothing(make_samples: MakeSamples, tmp_path: Path) -> None:
    samples, kept, plan = make_samples([6, 1, 3], SHAPE), KeptResults(tmp_path), small_plan()
    brighter = Samples(values=samples.values + np.uint8(1), labels=samples.labels, classes=samples.classes)
    relabelled = Samples(values=samples.values, labels=samples.labels[::-1].copy(), classes=samples.classes)
    contribute(plan, "ada", samples, engine=EAGER, kept=kept)
    contribute(plan, "bob", samples, engine=EAGER, kept=kept)
    contribute(plan, "ada", samples, engine=REFERENCE, kept=kept)
    contribute(plan, "ada", brighter, engine=EAGER, kept=kept)
    contribute(plan, "ada", relabelled, engine=EAGER, kept=kept)
    assert _stored(tmp_path) == (5, 5)


def test_a_damaged_stage_is_computed_again(make_samples: MakeSamples, tmp_path: Path) -> None:
    samples, kept, plan = make_samples([6, 1, 3], SHAPE), KeptResults(tmp_path), small_plan()
    first = encode_contribution(contribute(plan, "ada", samples, engine=EAGER, kept=kept), plan)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    assert encode_contribution(contribute(plan, "ada", samples, engine=EAGER, kept=kept), plan) == first
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert encode_contribution(contribute(plan, "ada", samples, engine=EAGER, kept=kept), plan) == first


@pytest.mark.parametrize("participation", [0.34, 0.67])
def test_the_statistics_of_fewer_seeds_are_rows_of_those_of_all(
    make_samples: MakeSamples, participation: float
) -> None:
    samples = make_samples([6, 0, 3], SHAPE)
    every = small_plan(statistics="moments", augment=OPERATIONS, seeds=8)
    some = every.model_copy(update={"participation": participation})
    assert 0 < len(some.assigned("bob")) < 8
    whole, part = (client_sums(plan, "bob", samples, engine=EAGER) for plan in (every, some))
    assert part.tobytes() == whole[list(some.assigned("bob"))].tobytes()
    # So they may stand in the store under the key of the smaller plan.
    keys = {sums_key(plan, "bob", samples, engine=EAGER) for plan in (every, some)}
    assert len(keys) == 2


def test_what_only_the_server_uses_does_not_compute_anything_again(make_samples: MakeSamples) -> None:
    samples, plan = make_samples([2, 1, 1], SHAPE), small_plan()
    others = plan.model_copy(update={"most_held": 7, "encoding": "fp16", "statistics": "moments"})
    assert sums_key(plan, "bob", samples, engine=EAGER) == sums_key(others, "bob", samples, engine=EAGER)
    finer = plan.model_copy(update={"batch": 5})
    assert sums_key(plan, "bob", samples, engine=EAGER) != sums_key(finer, "bob", samples, engine=EAGER)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.5, r"floats from 0 to 1.5"),
        (-0.5, "floats from -0.5"),
        (np.nan, "row 1: got NaN"),
        (np.inf, "row 1: got NaN"),
    ],
)
def test_floats_that_no_pixel_may_have_are_refused(value: float, told: str) -> None:
    values = np.zeros((2, *SHAPE), np.float32)
    values[1, 0, 2, 2] = value
    samples = Samples(values=values, labels=np.array([0, 1]), classes=("class 0", "class 1", "class 2"))
    with pytest.raises(DataError, match=told):
        contribute(small_plan(), "ada", samples, engine=EAGER)


@pytest.mark.parametrize(
    ("value", "encoding", "told"),
    [
        (70_000, "fp16", "the statistic mean: got 70000; expected .*65504 for fp16; fix: .*plan.encoding = fp32"),
        (70_000, "fp32", None),
        (-2e6, "fp32", r"the statistic mean: got 2e\+06; expected values within \+-1e\+06"),
        (np.nan, "int8", "the statistic mean: got NaN or infinity"),
        (-np.inf, "fp16", "the statistic mean: got NaN or infinity"),
    ],
)
def test_statistics_that_could_not_be_sent_are_refused(
    make_samples: MakeSamples, monkeypatch: pytest.MonkeyPatch, value: float, encoding: str, told: str | None
) -> None:
    def finish(parts: torch.Tensor) -> torch.Tensor:
        return torch.full_like(parts, value)

    monkeypatch.setitem(STATISTICS, "mean", replace(STATISTICS["mean"], finish=finish))
    plan, samples = small_plan(encoding=encoding), make_samples([2, 1, 1], SHAPE)
    if told is None:
        assert contribute(plan, "ada", samples, engine=EAGER).statistics.max() == value
        return
    with pytest.raises(PlanError, match=told):
        contribute(plan, "ada", samples, engine=EAGER)


def test_a_class_of_too_few_samples_leaves_no_trace(make_samples: MakeSamples) -> None:
    plan, samples = small_plan(min_held=2, statistics="moments"), make_samples([6, 1, 3], SHAPE)
    told: list[Event] = []
    sent = contribute(plan, "bob", samples, engine=EAGER, report=told.append)
    assert sent.held.tolist() == [6, 0, 3]
    assert 1 not in sent.labels.tolist()
    assert [event.message for event in told if event.message] == [
        "client bob sends nothing of class 1 (1): it holds fewer than 2 images of them (plan.min_held)"
    ]
    decode_contribution(encode_contribution(sent, plan), plan)
    # As if the site had taken the image out of its folder, and for the other classes as without the setting.
    without = contribute(plan, "bob", samples.take(np.flatnonzero(samples.labels != 1)), engine=EAGER)
    everything = contribute(small_plan(statistics="moments"), "bob", samples, engine=EAGER)
    assert everything.held.tolist() == [6, 1, 3]
    for other, columns in ((without, [0, 1]), (everything, [0, 2])):
        np.testing.assert_array_equal(sent.statistics, other.statistics[:, columns])
    np.testing.assert_array_equal(sent.samples, everything.samples[everything.labels != 1])


@pytest.mark.parametrize(("least", "held"), [(1, [6, 1, 3]), (3, [6, 0, 3]), (4, [6, 0, 0])])
def test_min_held_is_the_fewest_that_are_sent(make_samples: MakeSamples, least: int, held: list[int]) -> None:
    sent = contribute(small_plan(min_held=least), "bob", make_samples([6, 1, 3], SHAPE), engine=EAGER)
    assert sent.held.tolist() == held


def test_a_client_with_too_few_of_every_class_sends_nothing(make_samples: MakeSamples) -> None:
    with pytest.raises(DataError, match=r"images of client bob: got class 0 \(1\), class 2 \(1\); expected 2 or more"):
        contribute(small_plan(min_held=2), "bob", make_samples([1, 0, 1], SHAPE), engine=EAGER)


def test_a_repeated_request_tells_again_what_is_left_out(make_samples: MakeSamples, tmp_path: Path) -> None:
    plan, samples = small_plan(min_held=2), make_samples([6, 1, 3], SHAPE)
    for _ in range(2):
        told: list[Event] = []
        cached_contribution(plan, "bob", samples, tmp_path, engine=EAGER, report=told.append)
        assert len([event for event in told if event.message and "sends nothing of class 1 (1)" in event.message]) == 1


GRAM: dict[str, Any] = {"statistics": ["mean", "gram"], "features": {"name": "patches", "width": 4}, "gram_bits": 8}


def _gram_by_hand(plan: Plan, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """The mean features of every class held, and the mean over all samples of the outer product of what a sample's
    features differ from its class's: one patch, one filter, one place after another."""
    filters = feature_parameters(plan)["body.weight"].double().numpy()
    features = np.stack([_patches_by_hand(real_image(plan, samples, i).numpy(), filters) for i in range(len(samples))])
    held = [y for y in range(len(samples.classes)) if (samples.labels == y).any()]
    means = np.stack([features[samples.labels == y].mean(axis=0) for y in held])
    apart = features - means[[held.index(y) for y in samples.labels]]
    return means, np.mean([np.outer(row, row) for row in apart], axis=0)


def _patches_by_hand(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    height, width = image.shape[1] - 5, image.shape[2] - 5
    seen = np.empty((2, len(filters), height, width))
    for y in range(height):
        for x in range(width):
            patch = image[:, y : y + 6, x : x + 6]
            contrast = np.sqrt(patch.var() + 0.04**2)
            for k, one in enumerate(filters):
                z = float((one * patch).sum()) / contrast
                seen[:, k, y, x] = max(z - 0.5, 0), max(-z - 0.5, 0)
    # Parts of a grid overlap where a side is odd, as those of adaptive pooling do.
    rows, columns = (((0, -(-side // 2)), (side // 2, side)) for side in (height, width))
    return np.array(
        [seen[s, k, a:b, c:d].mean() for s in (0, 1) for k in range(len(filters)) for a, b in rows for c, d in columns]
    )


def test_the_gram_part_is_that_of_the_slow_loop_over_all_samples(make_samples: MakeSamples) -> None:
    samples, plan = make_samples([6, 0, 3], SHAPE), small_plan(**GRAM)
    means, scatter = _gram_by_hand(plan, samples)
    assert plan.batch < len(samples)
    for engine, close in ((REFERENCE, 1e-9), (EAGER, 1e-4)):
        sent = contribute(plan, "bob", samples, engine=engine)
        assert sent.gram is not None
        np.testing.assert_allclose(sent.gram.means, means, rtol=close, atol=close)
        np.testing.assert_allclose(sent.gram.scatter, scatter, rtol=close, atol=close)
    # All else is what a plan without it gets.
    bare = contribute(small_plan(), "bob", samples, engine=EAGER)
    for name in ("held", "statistics", "samples", "labels"):
        assert np.array_equal(getattr(sent, name), getattr(bare, name))
    assert bare.gram is None


def test_kept_gram_sums_are_found_again(
    make_samples: MakeSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, plan, kept = make_samples([6, 1, 3], SHAPE), small_plan(**GRAM), KeptResults(tmp_path)

    def stored() -> int:
        return len(list(tmp_path.glob("gram-*.safetensors")))

    first = encode_contribution(contribute(plan, "ada", samples, engine=EAGER, kept=kept), plan)
    assert (_stored(tmp_path), stored()) == ((1, 1), 1)
    assert kept.seconds["gram"] > 0
    # What it does not depend on: who asks, how it travels, and all that is asked for besides.
    for change in (
        {"gram_bits": 12},
        {"statistics": "gram"},
        {"batch": 3},
        {"seeds": 2},
        {"ipc": 5},
        {"tiles": 2},
        {"network": {"name": "convnet", "width": 8, "depth": 1}},
    ):
        contribute(small_plan(**GRAM | change), "ada", samples, engine=EAGER, kept=kept)
        assert stored() == 1, change
    contribute(plan, "bob", samples, engine=EAGER, kept=kept)
    assert stored() == 1
    others = {"seed": 12}, {"features": {"name": "patches", "width": 8}}, {"augment": ("flip",)}
    for number, change in enumerate(others, 2):
        contribute(small_plan(**GRAM | change), "ada", samples, engine=EAGER, kept=kept)
        assert stored() == number
    monkeypatch.setattr(sums, "feature_sums", None)
    assert encode_contribution(contribute(plan, "ada", samples, engine=EAGER, kept=kept), plan) == first


def test_a_class_of_too_few_samples_is_in_no_gram_matrix(make_samples: MakeSamples) -> None:
    plan, samples = small_plan(**GRAM, min_held=2), make_samples([6, 1, 3], SHAPE)
    sent = contribute(plan, "bob", samples, engine=EAGER).gram
    without = contribute(plan, "bob", samples.take(np.flatnonzero(samples.labels != 1)), engine=EAGER).gram
    assert sent is not None
    assert without is not None
    assert sent.means.shape == (2, 32)
    assert np.array_equal(sent.means, without.means)
    assert np.array_equal(sent.scatter, without.scatter)


@pytest.mark.parametrize(
    ("means", "scatter", "told"),
    [
        (7e4, 0.0, r"the statistic gram: got a mean of 70000; expected a mean within \+-65504; fix: .*plan.features"),
        (0.0, 4e12, r"the statistic gram: got a standard deviation of 2e\+06; expected .*1e\+06"),
        (np.nan, 0.0, "the statistic gram: got NaN or infinity"),
        (0.0, np.inf, "the statistic gram: got NaN or infinity"),
    ],
)
def test_a_gram_matrix_that_could_not_be_sent_is_refused(
    make_samples: MakeSamples, monkeypatch: pytest.MonkeyPatch, means: float, scatter: float, told: str
) -> None:
    huge = FeatureMoments(means=np.full((3, 32), means), scatter=np.full((32, 32), scatter))
    monkeypatch.setattr(FeatureSums, "moments", lambda sums: huge)
    with pytest.raises(PlanError, match=told):
        contribute(small_plan(**GRAM), "ada", make_samples([2, 1, 1], SHAPE), engine=EAGER)
