"""Seeds to reproducible streams: randomness as part of the wire format.

Client and server must derive the identical encoder and augmentation from a seed, on any machine and with any version
of torch. So every draw comes from Philox-4x64 (a counter-based generator whose raw 64-bit output is fixed by its
published definition), keyed by SHA-256 of the seed and a purpose, and converted to floats by the rule written here.
Only uniform draws and index draws cross the wire: normals would need log and cos, which differ in the last bit
between machines.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

__all__ = ["Stream", "generator_position", "move_generator"]

BLOCK = 16_384


class Stream:
    """One independent stream of draws for a (seed, purpose).

    `Stream(7, "encoder")` and `Stream(7, "augment", 3)` are unrelated; a stream made twice gives the same draws.
    The key is the first 128 bits (little-endian) of SHA-256 over the decimal seed and each part of the purpose,
    every part encoded as UTF-8 with its type and length in front, so that no two purposes collide.
    """

    def __init__(self, seed: int, *purpose: str | int) -> None:
        """Start the stream at counter zero. `seed` is any integer; `purpose` any strings and integers."""
        message = b"".join(_part(part) for part in ("collabdm", seed, *purpose))
        self._key = int.from_bytes(hashlib.sha256(message).digest()[:16], "little")
        self._bits = np.random.Philox(key=self._key)

    def raw(self, count: int) -> np.ndarray:
        """The next `count` raw 64-bit words, uint64 [count]."""
        return self._bits.random_raw(count)

    def uniform(
        self,
        shape: int | Sequence[int] = (),
        low: float = 0.0,
        high: float = 1.0,
        *,
        dtype: type[np.floating] = np.float64,
    ) -> np.ndarray:
        """Uniform from `low` to `high`: `low + (high - low) * (word >> 11) * 2**-53`, one word per number.

        Computed in float64, then rounded to `dtype`.
        """
        drawn = np.empty(shape, dtype)
        numbers = drawn.reshape(-1)
        # In blocks that stay in cache: drawing an encoder's weights is then several times as fast.
        for first in range(0, len(numbers), BLOCK):
            words = self.raw(min(BLOCK, len(numbers) - first))
            words >>= np.uint64(11)
            block = words.astype(np.float64)
            block *= 2.0**-53
            block *= high - low
            block += low
            numbers[first : first + BLOCK] = block
        return drawn

    def integers(self, high: int, shape: int | Sequence[int] = ()) -> np.ndarray:
        """Integers in [0, high), int64: `floor(high * uniform)`; `high` below 2**53."""
        return np.floor(self.uniform(shape) * high).astype(np.int64)

    def choose(self, population: int, count: int) -> np.ndarray:
        """`count` of `population` indices without replacement, int64, in drawn order.

        Every index gets one word; those with the smallest words are taken. `count` above `population` gives all.
        """
        words = self.raw(population)
        count = max(0, min(count, population))
        chosen = np.argpartition(words, count - 1)[:count] if 0 < count < population else np.arange(population)[:count]
        chosen = np.sort(chosen)
        return chosen[np.argsort(words[chosen], kind="stable")].astype(np.int64)

    def permutation(self, size: int) -> np.ndarray:
        """A uniformly random order of `size` indices, int64 [size]."""
        return self.choose(size, size)

    @property
    def position(self) -> np.ndarray:
        """Where the stream is, int64 [11]: `move_to` goes on from there."""
        return generator_position(self._bits)

    def move_to(self, position: np.ndarray) -> None:
        """Go to a `position` of a stream of the same seed and purpose."""
        move_generator(self._bits, position)

    def generator(self) -> np.random.Generator:
        """A numpy generator on this stream's key, for draws that never cross the wire (a Dirichlet partition)."""
        return np.random.Generator(np.random.Philox(key=self._key))


def generator_position(bits: np.random.BitGenerator) -> np.ndarray:
    """Where a Philox generator is (its counter, and what it has in store), int64 [11]."""
    state = cast(dict[str, Any], bits.state)
    words = [*state["state"]["counter"], *state["buffer"], state["buffer_pos"], state["has_uint32"], state["uinteger"]]
    return np.array(words, np.uint64).view(np.int64)


def move_generator(bits: np.random.BitGenerator, position: np.ndarray) -> None:
    """Go to what `generator_position` gave, for a generator of the same key."""
    state, words = cast(dict[str, Any], bits.state), np.asarray(position, np.int64).view(np.uint64)
    state["state"]["counter"], state["buffer"] = words[:4].copy(), words[4:8].copy()
    for name, word in zip(("buffer_pos", "has_uint32", "uinteger"), words[8:].tolist(), strict=True):
        state[name] = word
    bits.state = state


def _part(part: str | int) -> bytes:
    kind, text = ("i", str(int(part))) if isinstance(part, int | np.integer) else ("s", part)
    encoded = text.encode()
    return f"{kind}{len(encoded)}:".encode() + encoded
