"""Masks cancel to the integer, hide all but the sum, and are of one plan, one pair and one key."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from collabdm.client import contribute
from collabdm.engine import REFERENCE
from collabdm.errors import ConfigError, ContributionError, PlanError
from collabdm.privacy.keys import SiteKey, make_keys, x25519
from collabdm.privacy.masks import masked, pair_secret, stream, tag, with_streams
from collabdm.privacy.opening import opened
from collabdm.protocol import checked_answers, decode_contribution, encode_contribution
from collabdm.protocol.sum_vector import BITS
from collabdm.randomness import Stream
from private_plan import images, mask_keys, masked_plan, private_plan, sums_size, total, whole

MODULUS = 2**BITS


@given(sites=st.integers(2, 7), seed=st.integers(0, 2**32))
def test_masks_cancel_to_the_integer(sites: int, seed: int) -> None:
    names = [f"site {k}" for k in range(sites)]
    plan, keys = masked_plan(names)
    data = [whole(plan, seed, k) for k in range(sites)]
    sent = [masked(plan, keys[name], numbers) for name, numbers in zip(names, data, strict=True)]
    assert np.array_equal(total(sent), sum(data) % MODULUS)


def test_what_one_site_sends_is_uniform_whatever_its_data() -> None:
    plan, keys = masked_plan()
    for numbers in (np.zeros(sums_size(plan), np.int64), np.full(sums_size(plan), 12345)):
        sent = masked(plan, keys["bob"], numbers).sums
        assert sent is not None
        # Its three bytes each, so 24 bits are looked at; the keys are fixed, so the test is too.
        for place in range(3):
            counts = np.bincount(sent >> 8 * place & 255, minlength=256)
            assert stats.chisquare(counts).pvalue > 0.001
        assert abs(np.corrcoef(sent, numbers + np.arange(len(numbers)))[0, 1]) < 0.1


@given(seed=st.integers(0, 2**32), colluding=st.integers(0, 4))
def test_colluding_sites_and_the_server_learn_nothing_but_the_sum_of_the_rest(seed: int, colluding: int) -> None:
    """For any other data of two honest sites with the same sum there is a stream between the two, which nobody else
    knows, under which all messages are the same."""
    names = [f"site {k}" for k in range(colluding + 2)]
    drawn = Stream(seed, "view")
    between = {pair: drawn.integers(MODULUS, 50) for pair in [(a, b) for a in names for b in names if a < b]}
    data = {name: drawn.integers(MODULUS, 50) for name in names}
    first, second = (names[k] for k in drawn.choose(len(names), 2))
    move = drawn.integers(MODULUS, 50)
    other = data | {first: (data[first] + move) % MODULUS, second: (data[second] - move) % MODULUS}
    pair = (min(first, second), max(first, second))
    changed = between[pair] - move if pair[0] == first else between[pair] + move
    seen, also = (
        {name: with_streams(name, values[name], _streams(name, names, shared)) for name in names}
        for values, shared in ((data, between), (other, between | {pair: changed % MODULUS}))
    )
    assert all(np.array_equal(seen[name], also[name]) for name in names)
    # What is between the other pairs, which the colluding sites know, has not changed.


def _streams(name: str, names: Sequence[str], between: dict[tuple[str, str], np.ndarray]) -> dict[str, np.ndarray]:
    return {other: between[min(name, other), max(name, other)] for other in names if other != name}


def test_both_sides_have_the_secret_and_no_third() -> None:
    plan, keys = masked_plan()
    ours = pair_secret(plan, keys["ada"], "bob")
    assert ours == pair_secret(plan, keys["bob"], "ada")
    others = [pair_secret(plan, keys["ada"], "cid"), pair_secret(plan, keys["cid"], "bob")]
    assert ours not in others
    # Of another plan with the same keys, another one: its masks say nothing of these.
    again, _ = masked_plan(seed=99)
    assert pair_secret(again, keys["ada"], "bob") != ours
    assert tag(ours) != tag(others[0])
    assert tag(ours) not in ours


def test_the_stream_is_the_published_cipher() -> None:
    # RFC 8439, appendix A.1, test vector 1: key, nonce and counter zero.
    expected = bytes.fromhex("76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7")
    numbers = stream(bytes(32), 10)
    assert numbers.tolist() == [int.from_bytes(expected[3 * k : 3 * k + 3], "little") for k in range(10)]


def test_a_masked_contribution_travels() -> None:
    plan, keys = masked_plan()
    sent = masked(plan, keys["ada"], whole(plan, 1, 0))
    content = encode_contribution(sent, plan)
    read = decode_contribution(content, plan)
    assert np.array_equal(read.sums, sent.sums)  # type: ignore[arg-type]
    assert np.array_equal(read.pairs, sent.pairs)  # type: ignore[arg-type]
    assert len(content) < 3 * sums_size(plan) + 16 * 3 + 600


def test_contribute_masks_with_the_sites_key_and_says_what_is_missing() -> None:
    plan, keys = masked_plan()
    samples = images(plan, 6)
    answers = [
        contribute(plan, name, samples, engine=REFERENCE, key=keys[name], insecure_noise_seed=k)
        for k, name in enumerate(plan.clients)
    ]
    bare = private_plan()
    plain = [
        contribute(bare, name, samples, engine=REFERENCE, insecure_noise_seed=k) for k, name in enumerate(plan.clients)
    ]
    assert np.array_equal(total(answers), total(plain))
    assert not np.array_equal(answers[0].sums, plain[0].sums)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"key of ada: got none; expected one, since the plan has masks"):
        contribute(plan, "ada", samples, engine=REFERENCE)
    with pytest.raises(ConfigError, match=r"key: got that of bob; expected that of ada"):
        contribute(plan, "ada", samples, engine=REFERENCE, key=keys["bob"])
    with pytest.raises(ConfigError, match=r"key of ada: got another one"):
        contribute(plan, "ada", samples, engine=REFERENCE, key=make_keys("ada"))
    with pytest.raises(PlanError, match=r"plan for a site with a key: got no masks"):
        contribute(bare, "ada", samples, engine=REFERENCE, key=keys["ada"])
    with pytest.raises(TypeError, match="no option keys"):
        contribute(bare, "ada", samples, keys=keys["ada"])  # type: ignore[call-arg]


def test_a_wrong_key_or_an_altered_pair_is_noticed_and_both_sites_are_named() -> None:
    plan, keys = masked_plan()
    sent = [masked(plan, keys[name], whole(plan, 3, k)) for k, name in enumerate(plan.clients)]
    assert sent[1].pairs is not None
    sent[1].pairs[2, 5] ^= 1
    with pytest.raises(ContributionError, match=r"contributions of bob and cid: got masks that do not cancel"):
        checked_answers(plan, sent)


def test_masks_that_do_not_cancel_give_no_set() -> None:
    """Whoever says the right thing of its secrets and masks otherwise: garbage, of which no set is made."""
    plan, keys = masked_plan()
    numbers = np.zeros(sums_size(plan), np.int64)
    sent = [masked(plan, keys[name], numbers) for name in plan.clients]
    assert opened(plan, sent)
    assert sent[0].sums is not None
    sent[0].sums[:] = Stream(1, "garbage").integers(MODULUS, len(numbers))
    with pytest.raises(ContributionError, match="sum of all sites: got a number of"):
        opened(plan, sent)


def test_without_cryptography_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(ConfigError, match=r'cryptography is not installed.*pip install "collabdm\[privacy\]"'):
        make_keys("ada")


WEAK = [
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
    (2**255 + 9).to_bytes(32, "little"),
]


@pytest.mark.parametrize("key", WEAK, ids=lambda key: key.hex()[:8])
def test_keys_that_make_everyones_masks_are_no_keys(key: bytes) -> None:
    _, keys = mask_keys(["ada", "bob", "cid"])
    with pytest.raises(ValueError, match="the public half of a key"):
        private_plan(masks={"threshold": 2, "keys": keys | {"bob": key.hex()}})
    if int.from_bytes(key, "little") < 2**255 - 19:
        # As the curve itself has it.
        with pytest.raises(ValueError, match="shared key"):
            x25519().X25519PrivateKey.generate().exchange(x25519().X25519PublicKey.from_public_bytes(key))


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ({"threshold": 1}, "greater than or equal to 2"),
        ({"threshold": 4}, "threshold must be at most the number of clients, 3"),
        ({"keys": {"bob": "00"}}, "String should match pattern"),
        ({"keys": {"dan": "same"}}, "one key of each client and no other, not so: dan"),
        ({"keys": {"bob": "same"}}, "keys must be distinct"),
        ({"other": 1}, "Extra inputs"),
    ],
)
def test_masks_of_a_plan_are_bounded(masks: dict[str, Any], told: str) -> None:
    _, keys = mask_keys(["ada", "bob", "cid"])
    changed = masks.get("keys", {})
    given = keys | {name: keys["ada"] if key == "same" and name == "bob" else key for name, key in changed.items()}
    if "dan" in given:
        given["dan"] = make_keys("dan").public
    with pytest.raises(ValueError, match=told):
        private_plan(masks={"threshold": 2} | masks | {"keys": given})


def test_masks_and_central_noise_go_with_what_they_need() -> None:
    _, keys = mask_keys(["ada", "bob", "cid"])
    with pytest.raises(ValueError, match="masks go with privacy"):
        private_plan(masks={"threshold": 2, "keys": keys}, privacy=None)
    with pytest.raises(ValueError, match=r"privacy\.noise = sum goes with masks"):
        private_plan(privacy={"epsilon": 1, "noise": "sum"})


def test_a_key_shows_nothing_of_itself() -> None:
    key = SiteKey(client="ada", private=bytes(range(32)))
    assert "private" not in repr(key)
