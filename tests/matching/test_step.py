"""The matching step against the sequential loop in float64, one sample at a time."""

import math
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collabdm.data import Samples
from collabdm.engine import EAGER, REFERENCE, Engine
from collabdm.matching import step as matching
from collabdm.matching.embedding import embedder_for
from collabdm.matching.statistic import FIRST, MOMENTS, STATISTICS, Statistic, Term
from collabdm.matching.step import (
    ClassTarget,
    Descent,
    Encoding,
    StepKind,
    SyntheticState,
    Targets,
    matching_loss,
    matching_step,
)
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from reference import (
    OPERATIONS,
    Aim,
    Turn,
    augment_one,
    embed_one,
    encoder_parameters,
    expand_one,
    optimise,
    real_aim,
    relative_error,
    small_plan,
    synthetic_loss,
)

COUNTS = [5, 1, 3]
LABELS = [0, 0, 1, 1, 2, 2]
GREY = {"mean": (0.5,), "std": (0.5,)}


def _plan(factor: int, operation: str) -> Plan:
    side = {"height": 12, "width": 16} if factor == 3 else {"height": 8, "width": 12}
    return small_plan(sample=side, augment=() if operation == "none" else (operation,), tiles=factor)


def _state(plan: Plan, labels: Sequence[int] = LABELS, *, moving: bool = True) -> SyntheticState:
    shape = (len(labels), *plan.sample.shape)
    stream = Stream(3, "synthetic")
    images = torch.from_numpy(stream.uniform(shape, -1.7, 1.7))
    buffer = torch.from_numpy(stream.uniform(shape, -0.01, 0.01)) if moving else torch.zeros(shape).double()
    return SyntheticState(samples=images, labels=torch.tensor(labels), momentum=buffer)


def _aims(plan: Plan, samples: Samples, seed: int, classes: Sequence[int]) -> dict[int, Aim]:
    aims = {}
    for position, y in enumerate(classes):
        augmentation = plan.augmentation(seed, position)
        aims[y] = real_aim(plan, samples, samples.of_class(y), seed, augmentation)
    return aims


def _step(
    plan: Plan,
    state: SyntheticState,
    aims: Mapping[int, Aim],
    seed: int,
    *,
    statistic: str = "mean",
    engine: Engine = REFERENCE,
    lr: float = 2.0,
    momentum: float = 0.5,
    step: StepKind = "joint",
    chosen: Mapping[int, Sequence[int]] | None = None,
    longest: float | None = None,
) -> tuple[SyntheticState, dict[int, float]]:
    placed = SyntheticState(
        samples=state.samples.to(engine.sample_dtype),
        labels=state.labels,
        momentum=state.momentum.to(engine.sample_dtype),
    )
    return matching_step(
        placed,
        _targets(aims, statistic, engine),
        _encoding(plan, seed, engine),
        Descent(lr=lr, momentum=momentum, step=step, longest=longest),
        None if chosen is None else {y: torch.tensor(rows) for y, rows in chosen.items()},
    )


def _targets(aims: Mapping[int, Aim], statistic: str, engine: Engine) -> Targets:
    def target(aim: Aim) -> ClassTarget:
        rows = [aim.mean] if statistic == "mean" else [aim.mean, aim.variance()]
        value = torch.stack(rows).to(engine.sample_dtype)
        return ClassTarget(value=value, drawn=aim.drawn, augmentation=aim.augmentation)

    return Targets(statistic=STATISTICS[statistic], classes={y: target(aim) for y, aim in aims.items()})


def _encoding(plan: Plan, seed: int, engine: Engine) -> Encoding:
    embedder = embedder_for(plan.network, plan.sample.shape, engine)
    return Encoding(embedder=embedder, parameters=embedder.encoder(seed), sample=plan.sample, tiles=plan.tiles)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("operation", ["none", *OPERATIONS])
@pytest.mark.parametrize("statistic", ["mean", "moments"])
def test_the_loss_and_gradient_are_those_of_the_slow_loop(
    make_samples: Callable[..., Samples], statistic: str, operation: str, factor: int
) -> None:
    plan = _plan(factor, operation)
    samples, state, seed = make_samples(COUNTS, plan.sample.shape), _state(plan, moving=False), 5
    aims = _aims(plan, samples, seed, [0, 1, 2])
    turn = Turn(seed=seed, aims=aims, lr=1.0)
    moved, (expected,) = optimise(
        plan, state.samples, LABELS, [turn], statistic=statistic, factor=factor, momentum=0.0, step="joint"
    )
    gradient = state.samples - moved
    for engine, tolerance in ((REFERENCE, 1e-6), (EAGER, 1e-4)):
        after, losses = _step(plan, state, aims, seed, statistic=statistic, engine=engine, lr=1.0, momentum=0.0)
        assert sorted(losses) == [0, 1, 2]
        for y, loss in expected.items():
            assert losses[y] == pytest.approx(loss, rel=tolerance)
        # With no momentum the buffer is the gradient.
        assert relative_error(after.momentum, gradient) < tolerance
        assert relative_error(after.samples, moved) < tolerance


@pytest.mark.parametrize("step", ["joint", "per-class"])
def test_a_long_gradient_is_shortened_to_the_images_spread_and_a_short_one_keeps_its_bits(
    make_samples: Callable[..., Samples], step: StepKind
) -> None:
    plan, seed = _plan(1, "none"), 5
    samples, state = make_samples(COUNTS, plan.sample.shape), _state(plan, moving=False)
    aims = _aims(plan, samples, seed, [0, 1, 2])
    turn = Turn(seed=seed, aims=aims, lr=1.0)
    moved, _ = optimise(plan, state.samples, LABELS, [turn], statistic="mean", factor=1, momentum=0.0, step="joint")
    values = state.samples.numpy().ravel()
    spread = math.sqrt(((values - values.mean()) ** 2).mean())
    whole = list(state.samples - moved)
    lengths = [math.sqrt(float((one * one).mean())) for one in whole]
    limit = sorted(lengths)[2] * 1.001
    expected = [one * min(1.0, limit / length) for one, length in zip(whole, lengths, strict=True)]
    others = {"lr": 1.0, "momentum": 0.0, "step": step}
    free, _ = _step(plan, state, aims, seed, **others)
    after, _ = _step(plan, state, aims, seed, longest=limit / spread, **others)
    assert relative_error(state.samples - after.samples, torch.stack(expected)) < 1e-6
    kept = [length <= limit for length in lengths]
    assert sum(kept) == 3
    assert [torch.equal(a, b) for a, b in zip(after.samples, free.samples, strict=True)] == kept


@pytest.mark.parametrize("held", [2048, 5, 1])
@pytest.mark.parametrize("statistic", ["mean", "moments"])
def test_the_loss_alone_is_that_of_a_step(
    make_samples: Callable[..., Samples], statistic: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, seed = _plan(2, "colour"), 5
    samples, state = make_samples(COUNTS, plan.sample.shape), _state(plan, [0, 0, 2, 2, 2])
    aims = _aims(plan, samples, seed, [0, 1, 2])
    monkeypatch.setattr(matching, "HELD_SAMPLES", held)
    expected = sum(
        float(synthetic_loss(plan, state.samples, rows, seed, aims[y], statistic, 2))
        for y, rows in {0: [0, 1], 2: [2, 3, 4]}.items()
    )
    targets = _targets(aims, statistic, REFERENCE)
    got = matching_loss(state, targets, _encoding(plan, seed, REFERENCE))
    assert got == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("step", ["joint", "per-class"])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("covered", [[[0, 1, 2]] * 3, [[0, 2], [1], [0, 1, 2]], [[1, 2], [], [0, 1]]])
def test_steps_follow_one_optimizer_over_all_images(
    make_samples: Callable[..., Samples], covered: list[list[int]], momentum: float, step: StepKind
) -> None:
    plan = _plan(1, "colour")
    samples, state = make_samples([5, 4, 3], plan.sample.shape), _state(plan, moving=False)
    turns = [
        Turn(seed=seed, aims=_aims(plan, samples, seed, classes), lr=3.0 - seed)
        for seed, classes in enumerate(covered)
        if classes
    ]
    expected, history = optimise(
        plan, state.samples, LABELS, turns, statistic="mean", factor=1, momentum=momentum, step=step
    )
    assert relative_error(state.samples, expected) > 1e-3
    seen = []
    for seed, classes in enumerate(covered):
        aims = _aims(plan, samples, seed, classes)
        state, losses = _step(plan, state, aims, seed, lr=3.0 - seed, momentum=momentum, step=step)
        seen += [losses] if losses else []
    assert relative_error(state.samples, expected) < 1e-9
    assert [sorted(losses) for losses in seen] == [sorted(losses) for losses in history]
    for losses, reference in zip(seen, history, strict=True):
        for y, loss in reference.items():
            assert losses[y] == pytest.approx(loss, rel=1e-9)


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    lr=st.floats(0.1, 20),
    momentum=st.floats(0, 0.95),
    data=st.data(),
)
def test_the_closed_form_drift_is_the_loop_over_classes(
    labels: list[int], lr: float, momentum: float, data: st.DataObject
) -> None:
    covered = sorted(data.draw(st.sets(st.sampled_from(sorted(set(labels))))))
    plan = small_plan(sample={"channels": 1, "height": 4, "width": 4, "normalisation": GREY})
    state = _state(plan, labels)
    images, buffer = state.samples.clone(), state.momentum.clone()
    zero = torch.zeros(8, dtype=torch.float64)
    aims = {y: Aim(mean=zero, square=zero, drawn=3, augmentation=None) for y in covered}
    for y in covered:
        own = state.labels == y
        part = SyntheticState(samples=images, labels=state.labels, momentum=torch.zeros_like(images))
        gradient = _step(plan, part, {y: aims[y]}, 1, momentum=0.0)[0].momentum
        assert not gradient[~own].any()
        buffer = momentum * buffer + gradient
        images = images - lr * buffer
    after, losses = _step(plan, state, aims, 1, lr=lr, momentum=momentum, step="per-class")
    assert sorted(losses) == covered
    assert relative_error(after.samples, images) < 1e-9
    assert relative_error(after.momentum, buffer) < 1e-9


@pytest.mark.parametrize("step", ["joint", "per-class"])
def test_a_batch_of_a_class_moves_the_others_by_momentum_only(
    make_samples: Callable[..., Samples], step: StepKind
) -> None:
    plan = _plan(2, "crop")
    samples, state = make_samples([5, 4, 3], plan.sample.shape), _state(plan, moving=False)
    chosen = [{0: [1], 1: [2, 3], 2: [4]}, {0: [0], 1: [3], 2: [4, 5]}]
    turns = [
        Turn(seed=seed, aims=_aims(plan, samples, seed, [0, 1, 2]), lr=2.0, chosen=rows)
        for seed, rows in enumerate(chosen)
    ]
    expected, _ = optimise(plan, state.samples, LABELS, turns, statistic="moments", factor=2, momentum=0.5, step=step)
    for turn in turns:
        state, _ = _step(plan, state, turn.aims, turn.seed, statistic="moments", step=step, chosen=turn.chosen)
    assert relative_error(state.samples, expected) < 1e-9


def test_no_covered_class_leaves_the_state_alone() -> None:
    plan = _plan(1, "none")
    state = _state(plan)
    for step in ("joint", "per-class"):
        after, losses = _step(plan, state, {}, 1, step=step)
        assert losses == {}
        assert torch.equal(after.samples, state.samples)
        assert torch.equal(after.momentum, state.momentum)


def test_one_sample_on_either_side_is_matched_by_its_mean_alone(make_samples: Callable[..., Samples]) -> None:
    plan, seed = _plan(1, "none"), 4
    samples = make_samples([5, 1], plan.sample.shape)
    aims = _aims(plan, samples, seed, [0, 1])
    # Class 0: many real samples, one synthetic; class 1: one real sample, two synthetic.
    state = _state(plan, [0, 1, 1])
    by_mean, mean_losses = _step(plan, state, aims, seed, statistic="mean")
    by_moments, losses = _step(plan, state, aims, seed, statistic="moments")
    assert losses == pytest.approx(mean_losses, rel=1e-12)
    assert relative_error(by_moments.samples, by_mean.samples) < 1e-12


def test_identical_synthetic_samples_have_a_finite_gradient(make_samples: Callable[..., Samples]) -> None:
    plan, seed = _plan(1, "none"), 4
    samples = make_samples([5], plan.sample.shape)
    state = _state(plan, [0, 0])
    same = SyntheticState(
        samples=state.samples[:1].repeat(2, 1, 1, 1), labels=state.labels, momentum=torch.zeros_like(state.momentum)
    )
    after, losses = _step(plan, same, _aims(plan, samples, seed, [0]), seed, statistic="moments")
    assert torch.isfinite(after.samples).all()
    assert torch.isfinite(torch.tensor(losses[0]))
    assert torch.equal(after.samples[0], after.samples[1])


def test_neither_groups_nor_chunks_change_a_step(
    make_samples: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, seed = _plan(2, "rotate"), 6
    samples, state = make_samples([5, 4, 3], plan.sample.shape), _state(plan)
    aims = _aims(plan, samples, seed, [0, 1, 2])

    def run(engine: Engine) -> tuple[Tensor, dict[int, float]]:
        after, losses = _step(plan, state, aims, seed, statistic="moments", engine=engine, step="per-class")
        return after.samples, losses

    images, losses = run(REFERENCE)
    for held, chunk in ((1, 32), (9, 3), (2048, 5)):
        monkeypatch.setattr(matching, "HELD_SAMPLES", held)
        other, other_losses = run(REFERENCE.model_copy(update={"chunk": chunk}))
        assert relative_error(other, images) < 1e-12
        assert other_losses == pytest.approx(losses, rel=1e-12)


def _gram_loss(target: Tensor, drawn: int, embeddings: Tensor) -> Tensor:
    return (target - embeddings.T @ embeddings / len(embeddings)).square().sum() / drawn


GRAM = Term(name="gram", of=lambda e: e.unsqueeze(2) * e.unsqueeze(1))
POOLED = {
    "mean": Statistic(terms=(FIRST,), loss=STATISTICS["mean"].loss, pooled=True),
    "moments": Statistic(
        terms=MOMENTS.terms, loss=MOMENTS.loss, finish=MOMENTS.finish, additive=MOMENTS.additive, pooled=True
    ),
    "gram": Statistic(terms=(GRAM,), loss=_gram_loss, pooled=True),
}


def _plain_pooled_loss(name: str, target: Tensor, drawn: int, embeddings: Sequence[Tensor]) -> Tensor:
    """The distance of the statistic of all embeddings together from the target."""
    together = torch.stack(list(embeddings))
    n = len(together)
    if name == "gram":
        inner = sum(torch.outer(one, one) for one in together) / n
        return ((target - inner) ** 2).sum() / drawn
    loss = ((target[0] - together.mean(dim=0)) ** 2).sum()
    if name == "moments":
        loss = loss + (((target[1] * drawn / (drawn - 1)).sqrt() - together.std(dim=0)) ** 2).sum()
    return loss


def _plain_pooled(
    plan: Plan, state: SyntheticState, targets: Targets, seed: int, name: str, chosen: Mapping[int, Sequence[int]]
) -> tuple[float, Tensor]:
    """Loss and gradient by autograd through the slow reference, one image at a time."""
    images = state.samples.clone().requires_grad_()
    embeddings = [
        embed_one(encoder_parameters(plan, seed), augment_one(tile, targets.classes[y].augmentation))
        for y, rows in chosen.items()
        for row in rows
        for tile in expand_one(images[row], plan.tiles)
    ]
    # All real samples are behind the target, those of a class without an image too.
    drawn = sum(one.drawn for one in targets.classes.values())
    value = next(iter(targets.classes.values())).value
    loss = _plain_pooled_loss(name, value, drawn, embeddings)
    (gradient,) = torch.autograd.grad(loss, images)
    return loss.item(), gradient


def _pooled_targets(plan: Plan, seed: int, name: str, drawn: Mapping[int, int]) -> Targets:
    features = embedder_for(plan.network, plan.sample.shape, REFERENCE).features
    value = torch.from_numpy(Stream(8, "pooled").uniform((POOLED[name].rows(features), features), 0.1, 1))
    classes = {
        y: ClassTarget(value=value, drawn=count, augmentation=plan.augmentation(seed, y)) for y, count in drawn.items()
    }
    return Targets(statistic=POOLED[name], classes=classes)


def _pooled_step(
    plan: Plan, state: SyntheticState, targets: Targets, seed: int, chosen: Mapping[int, Sequence[int]] | None = None
) -> tuple[SyntheticState, dict[int, float]]:
    embedder = embedder_for(plan.network, plan.sample.shape, REFERENCE)
    return matching_step(
        state,
        targets,
        Encoding(embedder=embedder, parameters=embedder.encoder(seed), sample=plan.sample, tiles=plan.tiles),
        Descent(lr=1.5, momentum=0.0),
        None if chosen is None else {y: torch.tensor(rows) for y, rows in chosen.items()},
    )


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize("factor", [1, 2])
def test_a_pooled_statistic_has_one_loss_over_all_images(
    name: str, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, seed = _plan(factor, "colour"), 5
    state = _state(plan, [2, 0, 1, 0, 2, 1], moving=False)
    targets = _pooled_targets(plan, seed, name, {2: 4, 0: 3, 1: 1})
    expected, gradient = _plain_pooled(plan, state, targets, seed, name, {0: [1, 3], 1: [2, 5], 2: [0, 4]})
    # However few samples may be held at once: part of them has another loss.
    for held in (2048, 7, 1):
        monkeypatch.setattr(matching, "HELD_SAMPLES", held)
        after, losses = _pooled_step(plan, state, targets, seed)
        assert losses == {0: pytest.approx(expected, rel=1e-9)}
        assert relative_error(after.momentum, gradient) < 1e-9
        assert relative_error(after.samples, state.samples - 1.5 * gradient) < 1e-9


@pytest.mark.parametrize("name", POOLED)
def test_a_pooled_loss_is_over_the_chosen_images_of_the_covered_classes(name: str) -> None:
    plan, seed = _plan(1, "rotate"), 5
    state = _state(plan, [0, 1, 1, 2, 2, 2], moving=False)
    targets = _pooled_targets(plan, seed, name, {1: 3, 2: 2})
    chosen = {1: [2], 2: [3, 5]}
    expected, gradient = _plain_pooled(plan, state, targets, seed, name, chosen)
    assert not gradient[[0, 1, 4]].any()
    after, losses = _pooled_step(plan, state, targets, seed, chosen)
    assert losses == {1: pytest.approx(expected, rel=1e-9)}
    assert relative_error(after.momentum, gradient) < 1e-9


@pytest.mark.parametrize("name", POOLED)
def test_real_samples_of_a_class_without_images_are_behind_a_pooled_value_too(name: str) -> None:
    plan, seed = _plan(1, "none"), 5
    state = _state(plan, [1, 1, 2, 2], moving=False)
    targets = _pooled_targets(plan, seed, name, {0: 5, 1: 2, 2: 1})
    expected, gradient = _plain_pooled(plan, state, targets, seed, name, {1: [0, 1], 2: [2, 3]})
    after, losses = _pooled_step(plan, state, targets, seed)
    assert losses == {1: pytest.approx(expected, rel=1e-9)}
    assert relative_error(after.momentum, gradient) < 1e-9


def test_no_image_of_any_covered_class_leaves_a_pooled_state_alone() -> None:
    plan, seed = _plan(1, "none"), 5
    state = _state(plan, [1, 1])
    after, losses = _pooled_step(plan, state, _pooled_targets(plan, seed, "mean", {0: 5}), seed)
    assert losses == {}
    assert torch.equal(after.samples, state.samples)
