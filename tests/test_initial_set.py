"""The initial set: the union of what came, cut or topped up to ipc of every class held."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collabdm.data.tabular.column import Column
from collabdm.errors import QuorumError
from collabdm.initial_set import InitialSet, draw_of, initial_set, slots
from collabdm.protocol import Contribution, Plan
from collabdm.randomness import Stream
from collabdm.tables.modality import Tables
from reference import made_up, small_plan

SQUARE_ROOT_3 = math.sqrt(3)


def _bits(start: InitialSet) -> bytes:
    return start.samples.numpy().tobytes() + start.labels.numpy().tobytes()


def _contributions(plan: Plan, images: Sequence[Sequence[int]]) -> list[Contribution]:
    """One contribution per client with so many images per class, twice as many samples held."""
    return [
        made_up(plan, name, [2 * n for n in counts], images=counts)
        for name, counts in zip(plan.clients, images, strict=True)
        if any(counts)
    ]


def _received(contributions: Sequence[Contribution], y: int) -> Tensor:
    return torch.from_numpy(np.concatenate([c.samples[c.labels == y] for c in contributions]))


def _nearest(image: Tensor, candidates: Tensor) -> float:
    """The largest pixel difference to the candidate that is closest in it."""
    return float((candidates - image).abs().flatten(1).amax(dim=1).min())


@given(
    images=st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=3, max_size=3).filter(
        lambda rows: any(map(any, rows))
    ),
    ipc=st.integers(6, 9) | st.integers(1, 5),
    factor=st.sampled_from([1, 2]),
    order=st.permutations(range(3)),
)
def test_exactly_ipc_images_of_every_class_held(
    images: list[list[int]], ipc: int, factor: int, order: list[int]
) -> None:
    plan = small_plan(ipc=ipc, tiles=factor)
    contributions = _contributions(plan, images)
    start = initial_set(plan, contributions)
    came = [sum(counts[y] for counts in images) for y in range(3)]
    held = [y for y in range(3) if came[y]]
    assert start.labels.tolist() == [y for y in held for _ in range(ipc)]
    assert start.samples.shape == (len(held) * ipc, *plan.sample.shape)
    assert start.samples.dtype == torch.float32
    assert start.labels.dtype == torch.int64
    assert torch.isfinite(start.samples).all()
    assert start.missing == tuple(y for y in range(3) if not came[y])
    assert start.topped_up == {y: ipc - came[y] for y in held if came[y] < ipc}
    for y in held:
        own = start.samples[start.labels == y]
        received = _received(contributions, y)
        kept = [image for image in own if _nearest(image, received) == 0]
        assert len(kept) == min(ipc, came[y])
        # No image twice, made or received.
        assert len({image.numpy().tobytes() for image in own}) == ipc
    by_order = [c for k in order for c in contributions if c.client == plan.clients[k]]
    assert _bits(initial_set(plan, iter(by_order))) == _bits(start)


def test_all_that_came_is_kept_in_client_order_and_made_images_follow() -> None:
    plan = small_plan(ipc=6)
    contributions = _contributions(plan, [[2, 1, 0], [1, 0, 3], [3, 2, 0]])
    start = initial_set(plan, contributions[::-1])
    for y, came in enumerate([6, 3, 3]):
        assert torch.equal(start.samples[start.labels == y][:came], _received(contributions, y))


def test_the_cut_keeps_a_drawn_choice_of_all_clients() -> None:
    clients = tuple(f"client {k}" for k in range(6))
    kept_from, choices = set(), set()
    plan = small_plan(clients=clients, ipc=4)
    for draw in range(8):
        contributions = [made_up(plan, name, [5, 5, 5]) for name in clients]
        start = initial_set(plan, contributions, draw)
        assert start.draw == draw
        assert sum(start.taken.values()) == 12
        assert start.topped_up == {}
        received = _received(contributions, 0)
        own = start.samples[start.labels == 0]
        kept = [int((received - image).abs().flatten(1).sum(dim=1).argmin()) for image in own]
        assert torch.equal(received[kept], own)
        assert len(set(kept)) == 4
        kept_from |= set(kept)
        choices.add(tuple(sorted(kept)))
    assert kept_from == set(range(6))
    assert len(choices) > 1


SHARES = st.lists(st.integers(0, 400), min_size=1, max_size=6).filter(any)


@given(
    held=SHARES, sent=st.lists(st.integers(0, 9), min_size=6, max_size=6), total=st.integers(1, 20), draw=st.integers(0)
)
def test_slots_are_filled_as_far_as_samples_came(held: list[int], sent: list[int], total: int, draw: int) -> None:
    sent = sent[: len(held)]
    found = slots(np.array(held), sent, total, Stream(draw, "slots"))
    usable = [count if share else 0 for share, count in zip(held, sent, strict=True)]
    assert found.dtype == np.int64
    assert (found >= 0).all()
    assert (found <= usable).all()
    assert found.sum() == min(total, sum(usable))


@given(held=SHARES, total=st.integers(1, 20), draw=st.integers(0))
def test_slots_are_the_share_held_but_for_one_that_is_drawn(held: list[int], total: int, draw: int) -> None:
    found = slots(np.array(held), [total] * len(held), total, Stream(draw, "slots"))
    share = np.array(held) / sum(held) * total
    assert (np.floor(share + 1e-9) <= found).all()
    assert (found <= np.ceil(share - 1e-9)).all()


def test_the_slots_that_shares_leave_open_are_drawn_in_proportion() -> None:
    held, total, draws = np.array([46, 4, 25, 125]), 3, 4000
    found = sum(slots(held, [3] * 4, total, Stream(draw, "slots")) for draw in range(draws))
    np.testing.assert_allclose(found / draws, held / held.sum() * total, atol=0.03)


def test_what_a_client_cannot_fill_goes_to_the_others_by_what_they_hold() -> None:
    draws = 2000
    found = np.array([slots(np.array([900, 60, 30, 10]), [2, 5, 5, 5], 5, Stream(k, "slots")) for k in range(draws)])
    assert (found[:, 0] == 2).all()
    means = found.mean(axis=0)
    assert means[1] > 1.7
    assert means[1] > 1.5 * means[2] > 3 * means[3]


def test_a_site_with_nearly_all_of_a_class_fills_what_it_can_and_a_liar_is_bounded() -> None:
    plan = small_plan(ipc=4)
    big, small, other = plan.clients
    held = {big: 92, small: 4, other: 4}
    start = initial_set(plan, [made_up(plan, name, [n, 0, 0], images=[4, 0, 0]) for name, n in held.items()], 0)
    assert start.taken[big] >= 3
    bounded = small_plan(ipc=4, most_held=4)
    for draw in range(20):
        made = [made_up(bounded, name, [n, 0, 0], images=[4, 0, 0]) for name, n in held.items()]
        assert initial_set(bounded, made, draw).taken[big] <= 2


def test_by_default_the_draw_follows_from_what_all_clients_sent() -> None:
    plan = small_plan(ipc=1)
    contributions = [made_up(plan, name, [5, 5, 5], images=[1, 1, 1]) for name in plan.clients]
    start = initial_set(plan, contributions)
    assert start.draw == draw_of(contributions[::-1]) == initial_set(plan, contributions[::-1]).draw
    assert _bits(initial_set(plan, contributions, start.draw)) == _bits(start)
    last = contributions[-1]
    for changed in (replace(last, held=last.held + 1), replace(last, samples=last.samples * 0.5)):
        assert draw_of([*contributions[:-1], changed]) != start.draw


def test_the_seed_of_the_plan_decides_what_is_made() -> None:
    starts = []
    for seed in (1, 1, 2):
        plan = small_plan(ipc=5, seed=seed)
        starts.append(_bits(initial_set(plan, _contributions(plan, [[1, 1, 0], [1, 0, 0], [0, 0, 1]]))))
    assert starts[0] == starts[1] != starts[2]


@pytest.mark.parametrize("sides", [(8, 12), (12, 18)])
def test_made_tiles_are_received_tiles_of_the_class_with_a_little_noise(sides: tuple[int, int]) -> None:
    factor = sides[0] // 4
    height, width = sides[0] // factor, sides[1] // factor
    plan = small_plan(sample={"height": sides[0], "width": sides[1]}, tiles=factor, ipc=8)
    contributions = _contributions(plan, [[2, 1, 0], [1, 0, 3], [0, 1, 0]])
    start = initial_set(plan, contributions)
    bound = 0.1 * float(np.concatenate([c.samples for c in contributions]).std()) * SQUARE_ROOT_3 * (1 + 1e-5)
    mixed = 0
    for y in range(3):
        received = _received(contributions, y)
        tiles = received.unfold(2, height, height).unfold(3, width, width).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        made = start.samples[start.labels == y][len(received) :]
        assert len(made) == start.topped_up[y]
        for image in made:
            mixed += _nearest(image, received) > bound
            for row in range(factor):
                for column in range(factor):
                    tile = image[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
                    assert _nearest(tile, tiles) <= bound
    # Nearly all are new arrangements.
    assert mixed >= 0.8 * sum(start.topped_up.values())


def test_without_expansion_a_made_image_lies_between_received_ones() -> None:
    plan = small_plan(ipc=9)
    contributions = _contributions(plan, [[2, 1, 0], [1, 0, 3], [0, 1, 0]])
    start = initial_set(plan, contributions)
    bound = 0.1 * float(np.concatenate([c.samples for c in contributions]).std()) * SQUARE_ROOT_3 * (1 + 1e-5)
    for y in range(3):
        received = _received(contributions, y)
        made = start.samples[start.labels == y][len(received) :]
        assert (made >= received.amin(dim=0) - bound).all()
        assert (made <= received.amax(dim=0) + bound).all()


def test_a_class_held_of_which_no_image_came_starts_from_noise_like_the_received_pixels() -> None:
    plan = small_plan(ipc=50)
    contributions = _contributions(plan, [[3, 0, 2], [1, 0, 3], [2, 0, 0]])
    shifted = [replace(c, held=c.held + np.array([0, 5, 0]), samples=c.samples * 0.5 + 3) for c in contributions]
    start = initial_set(plan, shifted)
    assert start.topped_up[1] == 50
    assert start.missing == ()
    own = start.samples[start.labels == 1]
    pixels = np.concatenate([c.samples for c in shifted])
    assert float(own.mean()) == pytest.approx(float(pixels.mean()), abs=0.05)
    assert float(own.std()) == pytest.approx(float(pixels.std()), abs=0.05)


def test_no_image_from_anyone_starts_from_normalised_noise() -> None:
    plan = small_plan(ipc=50)
    contributions = [made_up(plan, name, [3, 0, 2], images=[0, 0, 0]) for name in plan.clients]
    start = initial_set(plan, contributions)
    assert start.topped_up == {0: 50, 2: 50}
    assert start.missing == (1,)
    assert float(start.samples.mean()) == pytest.approx(0, abs=0.05)
    assert float(start.samples.std()) == pytest.approx(1, abs=0.05)


def _rows_plan(**changes: object) -> Plan:
    """Two sites, two classes, rows of one number."""
    fields: dict[str, object] = {
        "seed": 3,
        "clients": ("ada", "bob"),
        "classes": ("a", "b"),
        "sample": Tables(columns=(Column(name="size", kind="numeric", low=-1, high=1),)),
        "network": {"name": "random-features", "width": 8},
        "ipc": 2,
        "seeds": 1,
        "batch": 4,
        "local": {"method": "kmeans"},
    }
    return Plan.model_validate(fields | changes)


def _rows(plan: Plan, client: str, held: Sequence[int], rows: Sequence[Sequence[float]]) -> Contribution:
    """What a client sends that holds so many of each class: its rows of each."""
    labels = np.repeat(np.arange(len(held)), [len(own) for own in rows])
    values = np.concatenate([np.array(own, np.float32) for own in rows])[:, None]
    nothing = np.zeros((1, sum(map(bool, held)), 1, 8), np.float32)
    return Contribution(
        client=client,
        held=np.array(held),
        statistics=nothing,
        samples=values,
        labels=labels,
        fingerprint="",
    )


def test_a_table_starts_from_the_centres_of_all_that_came_each_site_counting_by_what_it_holds() -> None:
    plan = _rows_plan()
    ada = _rows(plan, "ada", [30, 4], [[-0.9, 0.5], [0.3, 0.4]])  # of a each row stands for 15 of hers
    bob = _rows(plan, "bob", [5, 0], [[0.9], []])
    start = initial_set(plan, [bob, ada])
    assert start.labels.tolist() == [0, 0, 1, 1]
    # The nearest two of class a are made one: (15 x 0.5 + 5 x 0.9) / 20.
    assert sorted(start.samples[:2, 0].tolist()) == pytest.approx([-0.9, 0.6])
    assert sorted(start.samples[2:, 0].tolist()) == pytest.approx([0.3, 0.4])
    assert (start.taken, start.topped_up, start.missing) == ({"ada": 4, "bob": 1}, {}, ())
    bounded = initial_set(_rows_plan(most_held=10), [ada, bob])  # both rows of ada's stand for 5
    assert sorted(bounded.samples[:2, 0].tolist()) == pytest.approx([-0.9, 0.7])


def test_equal_rows_are_one_and_rows_are_made_for_the_rest() -> None:
    start = initial_set(_rows_plan(ipc=3), [_rows(_rows_plan(), "ada", [9, 0], [[0.5, 0.5, 0.1], []])])
    assert start.topped_up == {0: 1}
    assert sorted(start.samples[:2, 0].tolist()) == pytest.approx([0.1, 0.5])
    assert start.missing == (1,)


def test_a_round_that_is_not_refined_unites_rows_as_it_does_images() -> None:
    plan = _rows_plan(statistics="none")
    rows = [[-0.9, 0.5], [0.3, 0.4]]
    start = initial_set(plan, [_rows(plan, "ada", [30, 4], rows), _rows(plan, "bob", [5, 0], [[0.9], []])])
    assert {round(value, 4) for value in start.samples[:2, 0].tolist()} <= {-0.9, 0.5, 0.9}
    assert (plan.local_per_class, _rows_plan().local_per_class, _rows_plan(ipc=7).local_per_class) == (2, 2, 7)


def test_nobody_who_holds_anything_is_told() -> None:
    plan = small_plan()
    nothing = made_up(plan, plan.clients[0], [0, 0, 0], images=[0, 0, 0])
    with pytest.raises(QuorumError, match="classes held: got none; expected at least one; fix: collect from sites"):
        initial_set(plan, [nothing])
