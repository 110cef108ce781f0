"""The matching step against the sequential loop in float64, one sample at a time."""

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
from collabdm.matching.statistic import STATISTICS
from collabdm.matching.step import ClassTarget, StepKind, SyntheticState, matching_step
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from reference import OPERATIONS, Aim, Turn, optimise, real_aim, relative_error, small_plan

COUNTS = [5, 1, 3]
LABELS = [0, 0, 1, 1, 2, 2]


def _plan(factor: int, operation: str) -> Plan:
    side = {"height": 12, "width": 16} if factor == 3 else {"height": 8, "width": 12}
    return small_plan(sample={"channels": 3, **side}, augment=() if operation == "none" else (operation,), pae=factor)


def _state(plan: Plan, labels: Sequence[int] = LABELS, *, moving: bool = True) -> SyntheticState:
    shape = (len(labels), *plan.sample.shape)
    stream = Stream(3, "synthetic")
    images = torch.from_numpy(stream.uniform(shape, -1.7, 1.7))
    buffer = torch.from_numpy(stream.uniform(shape, -0.01, 0.01)) if moving else torch.zeros(shape).double()
    return SyntheticState(images=images, labels=torch.tensor(labels), momentum=buffer)


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
) -> tuple[SyntheticState, dict[int, float]]:
    embedder = embedder_for(plan.network, plan.sample.shape, engine)

    def target(aim: Aim) -> ClassTarget:
        parts = {"mean": aim.mean, "variance": aim.variance()}
        value = torch.stack([parts[part] for part in STATISTICS[statistic].parts]).to(engine.image_dtype)
        return ClassTarget(value=value, drawn=aim.drawn, augmentation=aim.augmentation)

    placed = SyntheticState(
        images=state.images.to(engine.image_dtype),
        labels=state.labels,
        momentum=state.momentum.to(engine.image_dtype),
    )
    return matching_step(
        placed,
        {y: target(aim) for y, aim in aims.items()},
        embedder=embedder,
        encoder=embedder.encoder(seed),
        statistic=STATISTICS[statistic],
        factor=plan.pae,
        lr=lr,
        momentum=momentum,
        step=step,
        chosen=None if chosen is None else {y: torch.tensor(rows) for y, rows in chosen.items()},
    )


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
        plan, state.images, LABELS, [turn], statistic=statistic, factor=factor, momentum=0.0, step="joint"
    )
    gradient = state.images - moved
    for engine, tolerance in ((REFERENCE, 1e-6), (EAGER, 1e-4)):
        after, losses = _step(plan, state, aims, seed, statistic=statistic, engine=engine, lr=1.0, momentum=0.0)
        assert sorted(losses) == [0, 1, 2]
        for y, loss in expected.items():
            assert losses[y] == pytest.approx(loss, rel=tolerance)
        # With no momentum the buffer is the gradient.
        assert relative_error(after.momentum, gradient) < tolerance
        assert relative_error(after.images, moved) < tolerance


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
        plan, state.images, LABELS, turns, statistic="mean", factor=1, momentum=momentum, step=step
    )
    assert relative_error(state.images, expected) > 1e-3
    seen = []
    for seed, classes in enumerate(covered):
        aims = _aims(plan, samples, seed, classes)
        state, losses = _step(plan, state, aims, seed, lr=3.0 - seed, momentum=momentum, step=step)
        seen += [losses] if losses else []
    assert relative_error(state.images, expected) < 1e-9
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
    plan = small_plan(sample={"channels": 1, "height": 4, "width": 4}, normalisation={"mean": (0.5,), "std": (0.5,)})
    state = _state(plan, labels)
    images, buffer = state.images.clone(), state.momentum.clone()
    zero = torch.zeros(8, dtype=torch.float64)
    aims = {y: Aim(mean=zero, square=zero, drawn=3, augmentation=None) for y in covered}
    for y in covered:
        own = state.labels == y
        part = SyntheticState(images=images, labels=state.labels, momentum=torch.zeros_like(images))
        gradient = _step(plan, part, {y: aims[y]}, 1, momentum=0.0)[0].momentum
        assert not gradient[~own].any()
        buffer = momentum * buffer + gradient
        images = images - lr * buffer
    after, losses = _step(plan, state, aims, 1, lr=lr, momentum=momentum, step="per-class")
    assert sorted(losses) == covered
    assert relative_error(after.images, images) < 1e-9
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
    expected, _ = optimise(plan, state.images, LABELS, turns, statistic="moments", factor=2, momentum=0.5, step=step)
    for turn in turns:
        state, _ = _step(plan, state, turn.aims, turn.seed, statistic="moments", step=step, chosen=turn.chosen)
    assert relative_error(state.images, expected) < 1e-9


def test_no_covered_class_leaves_the_state_alone() -> None:
    plan = _plan(1, "none")
    state = _state(plan)
    for step in ("joint", "per-class"):
        after, losses = _step(plan, state, {}, 1, step=step)
        assert losses == {}
        assert torch.equal(after.images, state.images)
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
    assert relative_error(by_moments.images, by_mean.images) < 1e-12


def test_identical_synthetic_samples_have_a_finite_gradient(make_samples: Callable[..., Samples]) -> None:
    plan, seed = _plan(1, "none"), 4
    samples = make_samples([5], plan.sample.shape)
    state = _state(plan, [0, 0])
    same = SyntheticState(
        images=state.images[:1].repeat(2, 1, 1, 1), labels=state.labels, momentum=torch.zeros_like(state.momentum)
    )
    after, losses = _step(plan, same, _aims(plan, samples, seed, [0]), seed, statistic="moments")
    assert torch.isfinite(after.images).all()
    assert torch.isfinite(torch.tensor(losses[0]))
    assert torch.equal(after.images[0], after.images[1])


def test_neither_groups_nor_chunks_change_a_step(
    make_samples: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, seed = _plan(2, "rotate"), 6
    samples, state = make_samples([5, 4, 3], plan.sample.shape), _state(plan)
    aims = _aims(plan, samples, seed, [0, 1, 2])

    def run(engine: Engine) -> tuple[Tensor, dict[int, float]]:
        after, losses = _step(plan, state, aims, seed, statistic="moments", engine=engine, step="per-class")
        return after.images, losses

    images, losses = run(REFERENCE)
    for held, chunk in ((1, 32), (9, 3), (2048, 5)):
        monkeypatch.setattr(matching, "HELD_IMAGES", held)
        other, other_losses = run(REFERENCE.model_copy(update={"chunk": chunk}))
        assert relative_error(other, images) < 1e-12
        assert other_losses == pytest.approx(losses, rel=1e-12)
