"""The root on the wire: its size, its error, what a stranger may not send."""

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.checking import Checker
from collabdm.errors import ContributionError
from collabdm.matching.gram import FeatureMoments
from collabdm.protocol.gram import GRAM_TENSORS, decode_gram, encode_gram, gram_bytes

BITS = (4, 6, 8, 9, 12, 16)


def moments(d: int = 20, samples: int = 200, seed: int = 0, groups: int = 3) -> FeatureMoments:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(samples, d)) @ rng.normal(size=(d, d)) * rng.uniform(0.01, 10, d)
    return FeatureMoments(means=rng.normal(size=(groups, d)), scatter=features.T @ features / samples)


def deflated(content: bytes) -> np.ndarray:
    return np.frombuffer(zlib.compress(content), np.uint8)


def received(sent: FeatureMoments, bits: int) -> FeatureMoments:
    return decode_gram(encode_gram(sent, bits), len(sent.means), sent.means.shape[1], bits, Checker("test"))


@pytest.mark.parametrize("bits", BITS)
def test_the_size_is_within_what_is_said(bits: int) -> None:
    tensors = encode_gram(moments(), bits)
    assert set(tensors) == GRAM_TENSORS
    assert 0 < sum(value.nbytes for value in tensors.values()) <= gram_bytes(3, 20, bits)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), bits=st.sampled_from(BITS), d=st.integers(1, 24))
def test_the_error_is_that_of_the_bits(seed: int, bits: int, d: int) -> None:
    sent = moments(d=d, samples=4 * d + 8, seed=seed)
    found = received(sent, bits)
    spread = np.sqrt(np.diagonal(sent.scatter))
    error = (found.scatter - sent.scatter) / spread[:, None] / spread
    assert np.abs(error).max() < 3 * np.sqrt(d) / 2 ** (bits - 1)
    np.testing.assert_allclose(np.diagonal(found.scatter), np.diagonal(sent.scatter), rtol=1e-5)
    np.testing.assert_allclose(found.means, sent.means, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), bits=st.sampled_from(BITS))
def test_small_eigenvalues_survive_as_they_would_not_in_a_rounded_matrix(seed: int, bits: int) -> None:
    sent = moments(seed=seed)
    spread = np.sqrt(np.diagonal(sent.scatter))
    true, found = (np.linalg.eigvalsh(one.scatter / spread[:, None] / spread) for one in (sent, received(sent, bits)))
    step = 2.0 ** (1 - bits)
    assert found[0] >= -1e-6
    # Of a small eigenvalue's root, a rounding of every entry changes about sqrt(d) steps.
    assert np.all(np.abs(np.sqrt(found.clip(0)) - np.sqrt(true.clip(0))) < 3 * np.sqrt(20) * step)


def test_fewer_samples_than_features_and_constant_features_travel() -> None:
    sent = moments(d=20, samples=3)
    scatter = sent.scatter.copy()
    scatter[4], scatter[:, 4] = 0, 0
    found = received(FeatureMoments(means=sent.means, scatter=scatter), 16)
    np.testing.assert_allclose(found.scatter, scatter, atol=2e-3 * scatter.max())
    assert not found.scatter[4].any()


def test_the_same_moments_give_the_same_bytes() -> None:
    first, again = (encode_gram(moments(), 8) for _ in range(2))
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)


@pytest.mark.parametrize("bits", BITS)
def test_the_root_is_numbers_in_planes_of_bytes(bits: int) -> None:
    tensors = encode_gram(moments(d=3), bits)
    content = zlib.decompress(tensors["gram.root"].tobytes())
    low, high = content[:6], content[6:]
    folded = [a + 256 * b for a, b in zip(low, high or bytes(6), strict=True)]
    found = [-(n + 1) // 2 if n % 2 else n // 2 for n in folded]
    root = np.zeros((3, 3))
    root[np.triu_indices(3)] = found
    root *= tensors["gram.step"]
    correlation = moments(d=3).scatter / np.outer(tensors["gram.scale"], tensors["gram.scale"])
    np.testing.assert_allclose(root.T @ root, correlation, atol=6 * 2.0**-bits)


def test_a_bit_more_costs_about_a_bit() -> None:
    # Entries far below the largest of their column, as of real features: high bytes are nearly all 0.
    features = np.random.default_rng(0).normal(size=(400, 120))
    sent = FeatureMoments(means=np.zeros((1, 120)), scatter=features.T @ features / 400)
    sizes = [8 * encode_gram(sent, bits)["gram.root"].nbytes / 7260 for bits in (8, 9, 10)]
    assert np.diff(sizes) == pytest.approx([1, 1], abs=0.5)


def test_deflating_pays() -> None:
    assert encode_gram(moments(d=200, samples=4000), 8)["gram.root"].nbytes < 0.9 * 200 * 201 / 2


def test_a_bomb_is_not_inflated() -> None:
    tensors = encode_gram(moments(), 8)
    tensors["gram.root"] = np.frombuffer(zlib.compress(bytes(50_000_000)), np.uint8)
    tracemalloc.start()
    with pytest.raises(ContributionError, match="another length"):
        decode_gram(tensors, 3, 20, 8, Checker("test"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("gram.root", lambda v: v[:-1], "gram.root of another length; expected 210 bytes"),
        ("gram.root", lambda v: np.append(v, v[:1]), "gram.root of another length"),
        ("gram.root", lambda v: v.astype(np.int8), "gram.root int8"),
        ("gram.root", lambda v: v[::-1].copy(), "gram.root that is no deflate stream"),
        ("gram.root", lambda v: v[None], "gram.root uint8"),
        ("gram.root", lambda v: deflated(b"\xff" * 210), "larger numbers in gram.root; expected -127 to 127"),
        ("gram.root", lambda v: deflated(b"\x00" * 209), "another length"),
        ("gram.scale", lambda v: -v - 1, "in gram.scale; expected 0 to"),
        ("gram.scale", lambda v: v * np.nan, "NaN or infinity in gram.scale"),
        ("gram.step", lambda v: v + 2, "in gram.step; expected 0 to 1"),
        ("gram.means", lambda v: v[:2], r"gram.means float16\[2, 20\]; expected float16\[3, 20\]"),
        ("gram.means", lambda v: v * np.inf, "NaN or infinity in gram.means"),
    ],
)
def test_what_cannot_be_is_refused(name: str, change: object, says: str) -> None:
    tensors = encode_gram(moments(), 8)
    tensors[name] = change(tensors[name])  # type: ignore[operator]
    with np.errstate(all="ignore"), pytest.raises(ContributionError, match=says):
        decode_gram(tensors, 3, 20, 8, Checker("test"))
