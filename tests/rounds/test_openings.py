"""Openings and combined contributions as they lie in folders: taken, refused, and never counted twice."""

from pathlib import Path

import numpy as np
import pytest

from collabdm.errors import ContributionError
from collabdm.privacy.combining import combine
from collabdm.privacy.keys import SiteKey
from collabdm.privacy.mask_openings import encode_opening, open_masks
from collabdm.privacy.masks import masked
from collabdm.protocol import Contribution, Plan, acceptance, encode_contribution
from collabdm.rounds.inbox import accept, collect, discard, sites_in
from collabdm.rounds.openings import openings_in, take_openings
from collabdm.rounds.receiving import receive
from private_plan import masked_plan, total, whole

Made = tuple[Plan, dict[str, SiteKey], dict[str, Contribution]]


@pytest.fixture(scope="module")
def made() -> Made:
    plan, keys = masked_plan()
    return plan, keys, {name: masked(plan, keys[name], whole(plan, 2, k)) for k, name in enumerate(plan.clients)}


def put(plan: Plan, folder: Path, name: str, contribution: Contribution) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(encode_contribution(contribution, plan))
    return folder


def test_collected_contributions_have_the_masks_of_missing_sites_taken_off(made: Made, tmp_path: Path) -> None:
    plan, keys, sent = made
    for name in ("ada", "cid"):
        put(plan, tmp_path / "in", f"{name}.safetensors", sent[name])
        opening = encode_opening(open_masks(plan, keys[name], ["bob"]), plan)
        (tmp_path / "in" / f"from {name}.opening").write_bytes(opening)
    (tmp_path / "in" / "bad.opening").write_bytes(b"{")
    found = collect(plan, tmp_path / "in")
    expected = (whole(plan, 2, 0) + whole(plan, 2, 2)) % 2**24
    assert np.array_equal(total(list(found.contributions.values())), expected)
    assert list(found.refused) == ["bad.opening"]
    # What the round's bits depend on: with other openings it is another round.
    assert {"from ada.opening", "from cid.opening"} < set(found.digests)


def test_a_reception_takes_openings_at_its_end_and_a_discarded_sites_go(made: Made, tmp_path: Path) -> None:
    plan, keys, sent = made
    source, run = put(plan, tmp_path / "source", "x.safetensors", sent["ada"]), tmp_path / "run"
    put(plan, source, "y.safetensors", sent["cid"])
    (source / "o.opening").write_bytes(encode_opening(open_masks(plan, keys["ada"], ["bob"]), plan))
    (source / "big.opening").write_bytes(b" " * (4 * 2**20 + 1))
    refused = receive(plan, source, run)
    assert list(refused) == ["big.opening"]
    inbox = run / "contributions"
    assert [one.client for one in openings_in(plan, inbox).found.values()] == ["ada"]
    take_openings(plan, source, inbox)
    assert len(list(inbox.glob("*.opening"))) == 1
    discard(plan, "ada", inbox)
    assert not list(inbox.glob("*.opening"))


def test_a_combined_contribution_answers_for_all_its_sites(made: Made, tmp_path: Path) -> None:
    plan, _, sent = made
    source = put(plan, tmp_path / "source", "region.safetensors", combine(plan, [sent["ada"], sent["cid"]]))
    put(plan, source, "bob.safetensors", sent["bob"])
    slept: list[float] = []
    assert receive(plan, source, tmp_path / "run", deadline=100, sleep=slept.append) == {}
    assert not slept
    inbox = tmp_path / "run" / "contributions"
    assert set(sites_in(plan, inbox)) == set(plan.clients)
    put(plan, source, "late.safetensors", sent["cid"])
    expected = acceptance(plan)
    with pytest.raises(ContributionError, match="a second contribution of client cid"):
        accept(plan, (source / "late.safetensors").read_bytes(), inbox, name="late", expected=expected)
    # In any folder too: the first stands.
    assert list(collect(plan, source).refused) == ["region.safetensors"]


def test_who_is_registered_as_one_site_does_not_speak_for_others(made: Made, tmp_path: Path) -> None:
    plan, _, sent = made
    content = encode_contribution(combine(plan, [sent["ada"], sent["cid"]]), plan)
    with pytest.raises(ContributionError, match="node ada: got a contribution of ada, cid; expected one of ada"):
        accept(plan, content, tmp_path / "in", name="node ada", expected=acceptance(plan), sender="ada")
