"""Images as one PNG: its values, its errors, and every hostile file refused before it is decompressed."""

import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from collabdm.checking import Checker
from collabdm.errors import ContributionError
from collabdm.images import eight_bit
from collabdm.images.eight_bit import images_from_strip, strip_of_images
from collabdm.randomness import Stream

Tensors = dict[str, np.ndarray]


def some_images(count: int = 5, channels: int = 3, height: int = 6, width: int = 4) -> np.ndarray:
    drawn = Stream(4, "eight bit", count, channels).uniform((count, channels, height, width), -2, 2)
    # Another range for every channel.
    return (drawn * np.arange(1, channels + 1).reshape(-1, 1, 1) + 0.5).astype(np.float32)


def read(tensors: Tensors, shape: tuple[int, ...]) -> np.ndarray:
    return images_from_strip(tensors, shape, Checker("sent"))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, *chunks: bytes, colour: int = 2, depth: int = 8, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def slow_png(content: bytes, channels: int) -> np.ndarray:
    """uint8 [rows, columns, channels] by the PNG specification, byte by byte."""
    width, height = struct.unpack(">II", content[16:24])
    position, packed = 8, b""
    while position < len(content):
        (length,) = struct.unpack(">I", content[position : position + 4])
        if content[position + 4 : position + 8] == b"IDAT":
            packed += content[position + 8 : position + 8 + length]
        position += 12 + length
    raw, stride = zlib.decompress(packed), width * channels
    assert len(raw) == height * (stride + 1)
    before, rows = [0] * stride, []
    for y in range(height):
        kind, line = raw[y * (stride + 1)], raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)]
        row: list[int] = []
        for x, byte in enumerate(line):
            left = row[x - channels] if x >= channels else 0
            up, corner = before[x], before[x - channels] if x >= channels else 0
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda value: abs(guess - value))
            row.append((byte + [0, left, up, (left + up) // 2, nearest][kind]) % 256)
        rows.append(row)
        before = row
    return np.array(rows, np.uint8).reshape(height, width, channels)


def test_known_values() -> None:
    images = np.array([-1.0, -1 + 2 / 255, -1 + 5 / 255, 0.0, 0.5, 1.0], np.float32).reshape(1, 1, 2, 3)
    tensors = strip_of_images(images)
    assert tensors["images.range"].tolist() == [[-1.0], [1.0]]
    assert tensors["images.clipped"].tolist() == [0.0]
    pixels = np.asarray(Image.open(io.BytesIO(tensors["images"].tobytes())))
    # (0 + 1) / 2 * 255 = 127.5 goes to the even level; so does 2.5.
    assert pixels.tolist() == [[0, 1, 2], [128, 191, 255]]


@pytest.mark.parametrize("channels", [1, 3])
def test_against_a_slow_decoder(channels: int) -> None:
    images = some_images(channels=channels)
    tensors = strip_of_images(images)
    received = read(tensors, images.shape)
    assert (received.dtype, received.flags.c_contiguous) == (np.float32, True)
    low, high = tensors["images.range"].astype(np.float64)
    levels = slow_png(tensors["images"].tobytes(), channels).reshape(5, 6, 4, channels)
    for n, c, y, x in np.ndindex(*images.shape):
        slow = low[c] + int(levels[n, y, x, c]) * (high[c] - low[c]) / 255
        assert received[n, c, y, x] == pytest.approx(slow, abs=1e-5)
        assert abs(slow - images[n, c, y, x]) <= (high[c] - low[c]) / 510 * (1 + 1e-4)


def test_the_strip_is_the_images_one_below_the_other() -> None:
    images = some_images()
    picture = Image.open(io.BytesIO(strip_of_images(images)["images"].tobytes()))
    assert (picture.mode, picture.size) == ("RGB", (4, 30))
    alone = strip_of_images(images[2:3])
    received = read(strip_of_images(images), images.shape)
    np.testing.assert_allclose(read(alone, (1, 3, 6, 4))[0], received[2], atol=0.05)


@given(arrays(np.float32, (3, 1, 4, 5), elements=st.floats(-1e5, 1e5, width=32)))
def test_the_error_is_at_most_half_a_level(images: np.ndarray) -> None:
    tensors = strip_of_images(images)
    low, high = tensors["images.range"].astype(np.float64)[:, 0]
    error = np.abs(read(tensors, images.shape).astype(np.float64) - np.clip(images, low, high))
    assert error.max() <= (high - low) / 510 * (1 + 1e-3) + 2.0**-22 * max(abs(low), abs(high))


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 3))
def test_a_constant_channel_is_exact(value: float, count: int) -> None:
    images = np.full((count, 3, 4, 4), value, np.float32)
    assert np.array_equal(read(strip_of_images(images), images.shape), images)


def test_nothing_is_clipped_of_a_few_images() -> None:
    images = some_images()
    tensors = strip_of_images(images)
    assert tensors["images.clipped"].tolist() == [0.0] * 3
    assert np.array_equal(tensors["images.range"], [images.min((0, 2, 3)), images.max((0, 2, 3))])


def test_runaway_pixels_are_clipped_and_counted() -> None:
    images = some_images(count=60, height=32, width=32)
    images[7, 1, 3, :6] = 1000.0
    images[9, 1, 5, 5] = -50.0
    tensors = strip_of_images(images)
    low, high = tensors["images.range"]
    # Six of 61,440 values a channel are left out at either end.
    ordered = np.sort(images.transpose(1, 0, 2, 3).reshape(3, -1))
    assert np.array_equal(low, ordered[:, 6])
    assert np.array_equal(high, ordered[:, -7])
    assert high[1] < 6
    assert tensors["images.clipped"].tolist() == [np.float32(12 / 61440)] * 3
    received = read(tensors, images.shape)
    assert (received <= high.reshape(-1, 1, 1) + 1e-4).all()
    others = (images >= low.reshape(-1, 1, 1)) & (images <= high.reshape(-1, 1, 1))
    # With the range up to 1000, a level would be 4 wide.
    assert np.abs(received - images)[others].max() < 0.03


@given(st.integers(1, 20_000), st.integers(0, 30))
@settings(max_examples=15)
def test_the_share_that_is_clipped_is_bounded_whatever_the_values(seed: int, power: int) -> None:
    images = Stream(seed, "heavy").uniform((9, 1, 40, 40), -1, 1) ** (2 * power + 1) * 100
    assert strip_of_images(images.astype(np.float32))["images.clipped"].item() <= 2e-4


def test_the_same_images_give_the_same_bytes() -> None:
    images = some_images()
    first, second = strip_of_images(images), strip_of_images(np.asfortranarray(images))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_no_images_are_no_bytes() -> None:
    empty = np.empty((0, 3, 4, 4), np.float32)
    tensors = strip_of_images(empty)
    assert tensors["images"].shape == (0,)
    assert read(tensors, empty.shape).shape == empty.shape
    with pytest.raises(ContributionError, match="without labels"):
        read(tensors | {"images": np.zeros(1, np.uint8)}, empty.shape)


def refused(content: bytes | np.ndarray, says: str, shape: tuple[int, ...] = (5, 3, 6, 4), **changes: Any) -> None:
    array = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
    with pytest.raises(ContributionError, match=says):
        read(strip_of_images(some_images()) | {"images": array} | changes, shape)


ROWS = zlib.compress(bytes(30 * 13))


def test_a_png_made_by_hand_is_read() -> None:
    tensors = strip_of_images(some_images()) | {
        "images": np.frombuffer(png_of(4, 30, chunk(b"IDAT", ROWS[:5]), chunk(b"IDAT", ROWS[5:])), np.uint8)
    }
    low = tensors["images.range"][0].reshape(1, -1, 1, 1)
    assert np.array_equal(read(tensors, (5, 3, 6, 4)), np.broadcast_to(low, (5, 3, 6, 4)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a" + bytes(100),
        png_of(4, 31, chunk(b"IDAT", ROWS)),
        png_of(4, 24, chunk(b"IDAT", ROWS)),
        png_of(30, 4, chunk(b"IDAT", ROWS)),
        png_of(2**31 - 1, 2**31 - 1, chunk(b"IDAT", ROWS)),
        png_of(0, 0, chunk(b"IDAT", ROWS)),
        png_of(4, 30, chunk(b"IDAT", ROWS), colour=0),
        png_of(4, 30, chunk(b"IDAT", ROWS), colour=6),
        png_of(4, 30, chunk(b"IDAT", ROWS), colour=3),
        png_of(4, 30, chunk(b"IDAT", ROWS), depth=16),
        png_of(4, 30, chunk(b"IDAT", ROWS), interlaced=1),
    ],
)
def test_another_header_is_refused(content: bytes) -> None:
    refused(content, "another header in images")


def test_fewer_or_more_images_than_labels_are_refused() -> None:
    content = strip_of_images(some_images())["images"]
    for count in (1, 4, 6):
        refused(content, "another header", (count, 3, 6, 4))
    refused(content, "another header", (5, 1, 6, 4), **strip_of_images(some_images(channels=1)) | {"images": content})


@pytest.mark.parametrize(
    "content",
    [
        png_of(4, 30),
        png_of(4, 30, chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", ROWS)),
        png_of(4, 30, chunk(b"acTL", bytes(8)), chunk(b"IDAT", ROWS)),
        png_of(4, 30, chunk(b"tRNS", bytes(6)), chunk(b"IDAT", ROWS)),
        png_of(4, 30, chunk(b"IDAT", ROWS), chunk(b"IDAT", ROWS), chunk(b"IEND", b"")),
        png_of(4, 30, chunk(b"IDAT", ROWS)) + b"\0",
        png_of(4, 30, chunk(b"IDAT", ROWS))[:-1],
        png_of(4, 30, chunk(b"IDAT", ROWS))[:-12],
        png_of(4, 30, chunk(b"IDAT", ROWS)) + chunk(b"IDAT", ROWS),
        png_of(4, 30, struct.pack(">I", 2**32 - 1) + b"IDAT" + ROWS),
    ],
)
def test_other_chunks_are_refused(content: bytes) -> None:
    refused(content, "other chunks|damaged")


@pytest.mark.parametrize("stream", [b"", b"\0" * 20, ROWS[:8], ROWS[:-8], zlib.compress(bytes(100)), b"x" + ROWS])
def test_a_bad_stream_is_refused(stream: bytes) -> None:
    refused(png_of(4, 30, chunk(b"IDAT", stream)), "cannot be decompressed|bytes of image rows|without an end")


# Pillow reads all of these, and leaves black what is missing.
NOT_FILLED = {
    "the first row only": zlib.compress(bytes(13)),
    "half of the rows": zlib.compress(bytes(15 * 13)),
    "a byte too few": zlib.compress(bytes(30 * 13 - 1)),
    "a byte too many": zlib.compress(bytes(30 * 13 + 1)),
    "something after the end": ROWS + b"more",
    "no checksum at the end": ROWS[:-4],
    "half a checksum": ROWS[:-2],
}


@pytest.mark.parametrize("name", NOT_FILLED)
def test_image_data_that_do_not_fill_the_image_are_refused(name: str) -> None:
    refused(
        png_of(4, 30, chunk(b"IDAT", NOT_FILLED[name])), "bytes of image rows; expected 390|without an end, or beyond"
    )


def test_every_flipped_bit_is_noticed() -> None:
    content = strip_of_images(some_images())["images"]
    for position in range(len(content)):
        damaged = content.copy()
        damaged[position] ^= 1 << position % 8
        refused(damaged, "images")


def test_a_bomb_is_refused_before_it_is_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    def decompressed(*_: object) -> None:
        raise AssertionError("decompressed")

    monkeypatch.setattr(eight_bit, "PngImageFile", decompressed)
    # 30,000 x 30,000 colours in 2.6 MB.
    refused(png_of(30_000, 30_000, chunk(b"IDAT", zlib.compress(bytes(10**7), 9) * 3)), "another header")
    with pytest.raises(ContributionError, match="rows of pixels"):
        read(strip_of_images(some_images()), (2**28, 3, 8, 4))


def test_a_stream_beyond_the_image_is_not_decompressed_further() -> None:
    bomb = png_of(4, 30, chunk(b"IDAT", zlib.compress(bytes(10**8), 9)))
    tensors = strip_of_images(some_images()) | {"images": np.frombuffer(bomb, np.uint8)}
    tracemalloc.start()
    try:
        for shape in ((5, 3, 6, 5), (5, 3, 6, 4)):
            with pytest.raises(ContributionError):
                read(tensors, shape)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(bomb)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("images", np.zeros((2, 2), np.uint8), "images uint8"),
        ("images", np.zeros(4, np.int8), "images int8"),
        ("images", np.array(7, np.uint8), "another header"),
        ("images.range", np.zeros((3, 2), np.float32), "images.range float32"),
        ("images.range", np.zeros((2, 3), np.float64), "images.range float64"),
        ("images.range", np.full((2, 3), np.nan, np.float32), "NaN or infinity in images.range"),
        ("images.range", np.full((2, 3), 2e6, np.float32), "in images.range"),
        ("images.range", np.array([[0, 0, 1], [1, 1, 0]], np.float32), "low > high"),
        ("images.clipped", np.full(3, 1.01, np.float32), "in images.clipped"),
        ("images.clipped", np.full(3, -0.1, np.float32), "in images.clipped"),
        ("images.clipped", np.full(3, np.nan, np.float32), "NaN or infinity in images.clipped"),
        ("images.clipped", np.zeros(2, np.float32), "images.clipped float32"),
    ],
)
def test_wrong_tensors_are_refused(name: str, value: np.ndarray, says: str) -> None:
    with pytest.raises(ContributionError, match=says):
        read(strip_of_images(some_images()) | {name: value}, (5, 3, 6, 4))


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(1, 9))
def test_any_stream_is_refused_or_the_right_shape(stream: bytes, level: int) -> None:
    for packed in (stream, zlib.compress(bytes(390 - len(stream)) + stream, level)):
        tensors = strip_of_images(some_images()) | {
            "images": np.frombuffer(png_of(4, 30, chunk(b"IDAT", packed)), np.uint8)
        }
        try:
            received = read(tensors, (5, 3, 6, 4))
        except ContributionError:
            continue
        assert received.shape == (5, 3, 6, 4)
        assert np.isfinite(received).all()
