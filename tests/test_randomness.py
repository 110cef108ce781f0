"""Streams against Philox-4x64-10 written out in plain integers, and golden values of the wire format."""

import hashlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import BLOCK, Stream, generator_position, move_generator

MASK = 2**64 - 1


def philox_words(key: int, count: int) -> list[int]:
    """Philox-4x64-10 (Salmon et al., SC 2011); the first block has counter 1, as numpy counts before it draws."""
    words: list[int] = []
    for counter in itertools.count(1):
        c = [counter, 0, 0, 0]
        k = [key & MASK, key >> 64]
        for _ in range(10):
            high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
            high1, low1 = divmod(0xCA5A826395121157 * c[2], 2**64)
            c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
            k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
        words += c
        if len(words) >= count:
            return words[:count]
    raise AssertionError("unreachable")


def reference_words(parts: list[str | int], count: int) -> list[int]:
    message = ""
    for part in ["collabdm", *parts]:
        message += f"{'i' if isinstance(part, int) else 's'}{len(str(part).encode())}:{part}"
    return philox_words(int.from_bytes(hashlib.sha256(message.encode()).digest()[:16], "little"), count)


seeds = st.integers(-(2**70), 2**70)
purposes = st.lists(st.one_of(st.text(st.characters(codec="utf-8"), max_size=8), st.integers(-5, 10**6)), max_size=3)


@given(seeds, purposes, st.integers(0, 9))
def test_raw_words_are_those_of_philox(seed: int, purpose: list[str | int], count: int) -> None:
    assert Stream(seed, *purpose).raw(count).tolist() == reference_words([seed, *purpose], count)


def test_the_reference_gives_the_published_known_answer() -> None:
    # Random123's known-answer vector for philox4x64-10 with key 0 and counter 0 has no block here (counter 1 is first);
    # numpy's own generator with that counter does.
    bits = np.random.Philox(key=7, counter=0).random_raw(8)
    assert philox_words(7, 8) == bits.tolist()


@pytest.mark.parametrize(
    ("seed", "purpose", "words"),
    [
        (0, (), [0xEB5C364DCA094A66, 0x6DAC4DBE1E34CB30, 0x3C9BEE68B9D07E85, 0x9737752C13206770]),
        (7, ("encoder",), [0x2921793E7D7D3E36, 0x7750228BE51AF369, 0x2D2DF1B31D5132C6, 0x92B090DD5ADBF02F]),
        (
            9007199254740991,
            ("augment", 3),
            [0x8803E5C575B191E3, 0x63D475AB7EAACE5B, 0xF6F1E3D2B4484A85, 0xE657FCE19BF2F293],
        ),
        (-1, ("Größe", 10), [0xBE0A47140B5DD78F, 0xE1A6DDC97844ECC9, 0xD4319AAE3135F0C, 0x39A661E9C24A62C1]),
    ],
)
def test_golden_words(seed: int, purpose: tuple[str | int, ...], words: list[int]) -> None:
    assert Stream(seed, *purpose).raw(4).tolist() == words


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_numbers_are_one_word_each_also_across_blocks(dtype: type[np.floating]) -> None:
    count = 2 * BLOCK + 5
    words = Stream(3, "u").raw(count)
    expected = -0.25 + 0.75 * ((words >> np.uint64(11)) * 2.0**-53)
    drawn = Stream(3, "u").uniform((count,), -0.25, 0.5, dtype=dtype)
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn, expected.astype(dtype))


def test_golden_encoder() -> None:
    network = build_network(NetworkSpec(), (3, 32, 32), classes=1)
    parameters = initial_parameters(network, Stream(0, "encoder"), embedding=True)
    digest = hashlib.sha256()
    for name in sorted(parameters):
        digest.update(name.encode())
        digest.update(parameters[name].numpy().astype("<f4").tobytes())
    assert digest.hexdigest() == "3c4d428e0f47f312360437ffb805e9968dbc0cc7747d5a591684e8e296e69f87"


@given(seeds, st.integers(1, 20))
def test_uniform_follows_the_written_rule(seed: int, count: int) -> None:
    words = reference_words([seed, "u"], count)
    expected = [-0.25 + 1.75 * ((word >> 11) / 2**53) for word in words]
    drawn = Stream(seed, "u").uniform(count, -0.25, 1.5)
    assert drawn.dtype == np.float64
    assert drawn.tolist() == expected


def test_shapes_take_words_in_row_major_order_and_draws_go_on() -> None:
    stream = Stream(3, "shape")
    first, second = stream.uniform((2, 3)), stream.uniform(2)
    assert np.concatenate([first.ravel(), second]).tolist() == Stream(3, "shape").uniform(8).tolist()
    assert Stream(3, "shape").uniform().shape == ()
    assert Stream(3, "shape").uniform((0, 4)).shape == (0, 4)


@given(seeds, st.integers(1, 1000))
def test_integers_are_scaled_uniforms(seed: int, high: int) -> None:
    drawn = Stream(seed).integers(high, 20)
    assert drawn.dtype == np.int64
    assert drawn.tolist() == [math.floor(u * high) for u in Stream(seed).uniform(20)]
    assert ((drawn >= 0) & (drawn < high)).all()


@given(seeds, st.integers(0, 60), st.integers(0, 70))
def test_choose_takes_the_smallest_words_in_order(seed: int, population: int, count: int) -> None:
    words = reference_words([seed, "c"], population)
    expected = sorted(range(population), key=lambda i: words[i])[:count]
    chosen = Stream(seed, "c").choose(population, count)
    assert chosen.dtype == np.int64
    assert chosen.tolist() == expected


def test_choosing_more_extends_choosing_fewer() -> None:
    every = Stream(5).choose(50, 50).tolist()
    assert all(Stream(5).choose(50, k).tolist() == every[:k] for k in (1, 10, 49))
    assert Stream(5).permutation(50).tolist() == every


def test_purposes_do_not_collide() -> None:
    parts: list[str | int] = ["a", "b", "ab", "", 1, "1", 12, "12", -1, "s1:a", "i1:1"]
    chains = [chain for length in range(3) for chain in itertools.product(parts, repeat=length)]
    keys = {tuple(Stream(7, *chain).raw(2).tolist()) for chain in chains}
    keys |= {tuple(Stream(8, *chain).raw(2).tolist()) for chain in chains}
    assert len(keys) == 2 * len(chains)


def test_streams_are_uniform_and_unrelated() -> None:
    n = 20_000
    a, b = Stream(1, "x", 0).uniform(n), Stream(1, "x", 1).uniform(n)
    for drawn in (a, b):
        expected = n / 20
        chi_squared = ((np.histogram(drawn, bins=20, range=(0, 1))[0] - expected) ** 2 / expected).sum()
        assert chi_squared < 50  # 19 degrees of freedom: one in 10,000 lies above
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(n)


def test_every_index_is_chosen_equally_often() -> None:
    counts = np.bincount(np.concatenate([Stream(seed, "choice").choose(10, 3) for seed in range(2000)]))
    # Binomial(2000, 0.3) has standard deviation 20.5.
    assert np.abs(counts - 600).max() < 90


def test_the_generator_starts_at_the_stream_and_leaves_it_alone() -> None:
    stream = Stream(2, "generator")
    generator = stream.generator()
    assert generator.bit_generator.random_raw(3).tolist() == reference_words([2, "generator"], 3)
    assert stream.raw(3).tolist() == reference_words([2, "generator"], 3)


@given(st.integers(0, 40), st.integers(0, 9), st.integers(1, 40))
def test_a_stream_goes_on_from_its_position(before: int, normals: int, after: int) -> None:
    stream = Stream(3, "here")
    stream.raw(before)
    draws = stream.generator()
    draws.standard_normal(normals, dtype=np.float32)  # 32 bits at a time: half a word may be in store
    position, place = stream.position, generator_position(draws.bit_generator)
    assert position.dtype == np.int64
    again = Stream(3, "here")
    again.move_to(position)
    other = again.generator()
    move_generator(other.bit_generator, place)
    assert again.permutation(after).tolist() == stream.permutation(after).tolist()
    assert again.position.tolist() == stream.position.tolist()
    drawn = [(one.integers(2**31, size=after), one.standard_normal(3, np.float32)) for one in (draws, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*drawn, strict=True))
