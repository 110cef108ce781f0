"""A site drops out: the same integers come of the others, and of nothing else than their own openings."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.errors import CollabDMError, ConfigError, ContributionError, QuorumError
from collabdm.privacy.combining import combine
from collabdm.privacy.complete import check_complete
from collabdm.privacy.keys import SiteKey
from collabdm.privacy.mask_openings import (
    MaskOpening,
    decode_opening,
    encode_opening,
    open_masks,
    without_masks,
)
from collabdm.privacy.masks import masked
from collabdm.privacy.opening import opened
from collabdm.protocol import Contribution, Plan
from collabdm.protocol.sum_vector import BITS
from private_plan import masked_plan, sums_size, total, whole

SITES = ["ada", "bob", "cid", "dan", "eve"]
Made = tuple[Plan, dict[str, SiteKey], dict[str, Contribution], dict[str, np.ndarray]]


def made(names: Sequence[str] = SITES, threshold: int = 3) -> Made:
    plan, keys = masked_plan(names, threshold=threshold)
    data = {name: whole(plan, 5, k) for k, name in enumerate(names)}
    return plan, keys, {name: masked(plan, keys[name], data[name]) for name in names}, data


@settings(max_examples=25, deadline=None)
@given(missing=st.sets(st.sampled_from(SITES), max_size=2))
def test_the_others_sum_is_recovered_to_the_integer(missing: set[str]) -> None:
    plan, keys, sent, data = made()
    there = [sent[name] for name in SITES if name not in missing]
    openings = [open_masks(plan, keys[name], missing) for name in SITES if name not in missing] if missing else []
    # As they travel.
    read = [decode_opening(encode_opening(one, plan), plan) for one in openings]
    found = without_masks(plan, there, read)
    assert not found.refused
    assert not found.openings
    check_complete(plan, found.contributions)
    assert np.array_equal(total(found.contributions), sum(data[name] for name in set(SITES) - missing) % 2**BITS)
    # A second time nothing is taken off.
    again = without_masks(plan, found.contributions, read)
    assert np.array_equal(total(again.contributions), total(found.contributions))


def test_without_openings_it_says_which_files_are_missing_and_what_makes_them() -> None:
    plan, keys, sent, _ = made()
    there = [sent[name] for name in ("ada", "bob", "dan", "eve")]
    with pytest.raises(QuorumError) as told:
        opened(plan, there)
    assert str(told.value).startswith(
        "masks of cid, of which there is no contribution: got no opening by ada, bob, dan, eve; expected one of every"
    )
    assert "collabdm open-masks plan.json --client NAME --key FILE --missing cid --out NAME.opening" in str(told.value)
    some = without_masks(plan, there, [open_masks(plan, keys[name], ["cid"]) for name in ("ada", "eve")])
    with pytest.raises(QuorumError, match="got no opening by bob, dan;"):
        opened(plan, some.contributions)


def test_below_the_threshold_there_is_no_sum_and_nothing_is_opened() -> None:
    plan, keys, sent, _ = made()
    with pytest.raises(QuorumError, match=r"sites that contributed: got 2 \(ada, bob\); expected at least 3"):
        opened(plan, [sent["ada"], sent["bob"]])
    with pytest.raises(QuorumError, match=r"missing sites: got 3 of 5, which leaves 2; expected at least 3 left"):
        open_masks(plan, keys["ada"], ["cid", "dan", "eve"])


@pytest.mark.parametrize("missing", [["ada"], ["nobody"], [], ["bob", "ada"]])
def test_only_masks_of_others_are_opened(missing: list[str]) -> None:
    plan, keys, _, _ = made()
    with pytest.raises(ConfigError, match="missing sites: got"):
        open_masks(plan, keys["ada"], missing)


def test_a_contribution_whose_masks_were_opened_is_refused_by_name() -> None:
    plan, keys, sent, data = made()
    openings = [open_masks(plan, keys[name], ["cid"]) for name in SITES if name != "cid"]
    found = without_masks(plan, list(sent.values()), openings)
    assert list(found.refused) == ["cid"]
    assert "contribution of cid: got one, though" in found.refused["cid"]
    assert "opened the masks of cid" in found.refused["cid"]
    assert np.array_equal(total(found.contributions), sum(data[name] for name in SITES if name != "cid") % 2**BITS)
    # Also where it comes later, to those of which the masks were taken off.
    with pytest.raises(ContributionError, match="contribution of cid: got one, though ada opened the masks of cid"):
        opened(plan, [*found.contributions, sent["cid"]])
    # One opening is enough: it can no longer be sure.
    assert list(without_masks(plan, list(sent.values()), openings[:1]).refused) == ["cid"]


def test_an_opening_of_another_plan_is_refused() -> None:
    plan, keys, _, _ = made()
    other, _ = masked_plan(SITES, threshold=3, seed=8)
    content = encode_opening(open_masks(other, keys["ada"], ["cid"]), other)
    with pytest.raises(ContributionError, match=r"got an opening for plan .*; expected one for plan"):
        decode_opening(content, plan, name="ada.opening")


def test_a_secret_of_another_key_plan_or_hand_is_refused_by_name() -> None:
    plan, keys, sent, _ = made()
    there = [sent[name] for name in SITES if name != "cid"]
    sound = [open_masks(plan, keys[name], ["cid"]) for name in SITES if name not in ("ada", "cid")]
    true = open_masks(plan, keys["ada"], ["cid"]).secrets["cid"]
    other, _ = masked_plan(SITES, threshold=3, seed=8)
    replayed = open_masks(other, keys["ada"], ["cid"]).secrets["cid"]
    for wrong in (bytes(32), bytes([true[0] ^ 1, *true[1:]]), replayed, sound[0].secrets["cid"]):
        found = without_masks(plan, there, [*sound, MaskOpening(client="ada", secrets={"cid": wrong})])
        assert list(found.openings) == ["ada"]
        assert "opening by ada: got a secret with cid that is not the one it masked with" in found.openings["ada"]
        with pytest.raises(QuorumError, match="got no opening by ada;"):
            check_complete(plan, found.contributions)
    twice = [MaskOpening(client="ada", secrets={"cid": secret}) for secret in (true, bytes(32))]
    assert "two different secrets with cid" in without_masks(plan, there, [*sound, *twice]).openings["ada"]


@pytest.mark.parametrize(
    "change",
    [
        {"client": "nobody"},
        {"client": "cid"},
        {"secrets": {}},
        {"secrets": {"nobody": "00" * 32}},
        {"secrets": {"cid": "00" * 31}},
        {"secrets": {"cid": "zz" * 32}},
        {"version": True},
        {"version": 2},
        {"format": "collabdm-plan"},
        {"more": 1},
    ],
)
def test_what_is_no_opening_is_refused_in_one_line(change: dict[str, object]) -> None:
    plan, keys, _, _ = made()
    tree = json.loads(encode_opening(open_masks(plan, keys["ada"], ["cid"]), plan))
    with pytest.raises(ContributionError, match=r"^it: got .*; expected .*; fix: ask the site for it again"):
        decode_opening(json.dumps(tree | change).encode(), plan, name="it")


def test_combined_contributions_are_exact_and_combine_again() -> None:
    plan, _, sent, data = made()
    pair = combine(plan, [sent["dan"], sent["bob"]])
    assert (pair.client, pair.sites) == ("bob", ("bob", "dan"))
    tree = combine(plan, [combine(plan, [pair, sent["eve"]]), sent["ada"]])
    assert tree.stands_for == ("ada", "bob", "dan", "eve")
    assert np.array_equal(total([tree, sent["cid"]]), sum(data.values()) % 2**BITS)
    check_complete(plan, [tree, sent["cid"]])
    everyone = combine(plan, list(sent.values()))
    assert everyone.pairs is not None
    assert not everyone.pairs.any()


def test_no_site_is_counted_twice() -> None:
    plan, _, sent, _ = made()
    pair = combine(plan, [sent["dan"], sent["bob"]])
    with pytest.raises(ContributionError, match="contribution of dan: got two of that client"):
        combine(plan, [pair, sent["dan"]])
    with pytest.raises(ContributionError, match="contribution of bob: got client dan in it, who is in another one"):
        combine(plan, [sent["dan"], pair])
    with pytest.raises(ContributionError, match="contributions to combine: got 1"):
        combine(plan, [pair])


def test_a_site_that_was_combined_may_have_masked_with_a_wrong_key_or_be_missing() -> None:
    plan, keys, sent, data = made()
    pair = combine(plan, [sent["dan"], sent["bob"]])
    openings = [open_masks(plan, keys[name], ["cid"]) for name in SITES if name != "cid"]
    found = without_masks(plan, [sent["ada"], pair, sent["eve"]], openings)
    check_complete(plan, found.contributions)
    assert np.array_equal(total(found.contributions), sum(data[name] for name in SITES if name != "cid") % 2**BITS)
    # The relay's group is open when all of it has opened.
    some = without_masks(plan, [sent["ada"], pair, sent["eve"]], [one for one in openings if one.client != "dan"])
    with pytest.raises(QuorumError, match="got no opening by bob, dan;"):
        check_complete(plan, some.contributions)
    assert pair.pairs is not None
    pair.pairs[0, 0] ^= 1
    with pytest.raises(CollabDMError, match="contributions of bob, dan and ada: got masks that do not cancel"):
        combine(plan, [pair, sent["ada"]])


def test_the_sums_of_a_group_are_still_masked() -> None:
    plan, _, sent, data = made()
    pair = combine(plan, [sent["dan"], sent["bob"]])
    same = (pair.sums == (data["dan"] + data["bob"]) % 2**BITS).mean()
    assert same < 10 / sums_size(plan)
