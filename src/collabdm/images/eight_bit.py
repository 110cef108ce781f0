"""Images as 8-bit pixels in one PNG: what the encoding int8 does to the local set S_k.

Every channel has an affine range over all images; the PNG is a vertical strip of them, so that anyone can look at what
is sent. The PNG of a stranger is refused by its own header before anything is allocated for its pixels.
"""

import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from collabdm.checking import Checker
from collabdm.data.stated_range import LEVELS, TAIL

__all__ = ["IMAGE_TENSORS", "images_from_strip", "strip_of_images"]

IMAGE_TENSORS = ("images", "images.range", "images.clipped")

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}
_MOST_ROWS = 2**31 - 1
_FLOAT = np.dtype(np.float32)


def strip_of_images(images: np.ndarray) -> dict[str, np.ndarray]:
    """Float [n, C, H, W] to `images` (uint8, the bytes of a PNG; none without images), `images.range` (float32 [2, C],
    low and high) and `images.clipped` (float32 [C], the share of a channel's values outside its range).

    What is not finite makes the range so, and is refused when it is read.
    """
    count, channels, height, width = images.shape
    chosen = [_quantised(images[:, channel].astype(np.float64)) for channel in range(channels)]
    pixels = np.stack([levels for levels, *_ in chosen], axis=-1).reshape(count * height, width, channels)
    return {
        "images": np.frombuffer(_png(pixels) if count else b"", np.uint8),
        "images.range": np.array([[low for _, low, *_ in chosen], [high for _, _, high, _ in chosen]], _FLOAT),
        "images.clipped": np.array([clipped for *_, clipped in chosen], _FLOAT),
    }


def images_from_strip(tensors: Mapping[str, np.ndarray], shape: tuple[int, ...], check: Checker) -> np.ndarray:
    """The float32 images of this shape (n, C, H, W), from three tensors of a stranger."""
    count, channels, height, width = shape
    low, high = check.floats(tensors["images.range"], "images.range", (2, channels), _FLOAT)
    check.that(bool((low <= high).all()), "images.range with low > high", "low <= high")
    check.floats(tensors["images.clipped"], "images.clipped", (channels,), _FLOAT, least=0.0, most=1.0)
    content = tensors["images"]
    check.form(content, "images", content.shape[:1], np.dtype(np.uint8))
    if not count:
        check.that(not content.size, f"{content.size} bytes of images without labels", "none")
        return np.empty(shape, np.float32)
    pixels = _pixels(content.tobytes(), (count * height, width, channels), check)
    images = pixels.reshape(count, height, width, channels).transpose(0, 3, 1, 2).astype(np.float32, order="C")
    images *= ((high - low) / np.float32(LEVELS)).reshape(-1, 1, 1)
    images += low.reshape(-1, 1, 1)
    return images


def _quantised(values: np.ndarray) -> tuple[np.ndarray, float, float, float]:
    """One channel's levels (uint8), low, high and the share of values outside."""
    if not values.size or not np.isfinite(values).all():
        bound = np.nan if values.size else 0.0
        return np.zeros(values.shape, np.uint8), bound, bound, 0.0
    # Values that occur, so that few values are not clipped at all.
    low = float(np.float32(np.quantile(values, TAIL, method="lower")))
    high = float(np.float32(np.quantile(values, 1 - TAIL, method="higher")))
    step = (high - low) / LEVELS or 1.0
    levels = np.rint((np.clip(values, low, high) - low) / step).astype(np.uint8)
    return levels, low, high, float(((values < low) | (values > high)).mean())


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _pixels(content: bytes, shape: tuple[int, int, int], check: Checker) -> np.ndarray:
    """uint8 [rows, columns, channels] of a PNG that has exactly this shape."""
    check.that(shape[0] <= _MOST_ROWS, f"{shape[0]} rows of pixels", f"at most {_MOST_ROWS}")
    _check_filled(_image_data(content, _beginning(shape), check), shape, check)
    try:
        # Not `Image.open`: its guard against large images is a global setting, and the size is checked already.
        with PngImageFile(io.BytesIO(content)) as image:
            return np.asarray(image).reshape(shape)
    except (OSError, SyntaxError, ValueError) as error:
        raise check.error(f"images that cannot be decompressed ({error})", "a whole PNG") from None


def _beginning(shape: tuple[int, int, int]) -> bytes:
    """Signature and header of the one PNG that is expected: 8 bits, not interlaced."""
    rows, columns, channels = shape
    header = b"IHDR" + struct.pack(">IIBBBBB", columns, rows, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return _SIGNATURE + struct.pack(">I", len(header) - 4) + header + struct.pack(">I", zlib.crc32(header))


def _image_data(content: bytes, beginning: bytes, check: Checker) -> bytes:
    """What stands between the expected header and the end: image data alone, undamaged, still compressed."""
    check.that(content.startswith(beginning), "another header in images", "a PNG strip of as many images as labels")
    kinds, data, position = [], [], len(beginning)
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        end = position + 12 + length
        chunk, checksum = content[position + 4 : end - 4], content[end - 4 : end]
        check.that(struct.pack(">I", zlib.crc32(chunk)) == checksum, "damaged images", "a whole PNG")
        kinds.append(chunk[:4])
        data.append(chunk[4:])
        position = end
    whole = position == len(content) and kinds[-1:] == [b"IEND"] and set(kinds[:-1]) == {b"IDAT"}
    check.that(whole, "other chunks in images", "IDAT and IEND")
    return b"".join(data[:-1])


def _check_filled(data: bytes, shape: tuple[int, int, int], check: Checker) -> None:
    """Image data that unpack to every row and no byte more: Pillow takes less, and leaves black what is missing."""
    rows, columns, channels = shape
    size, stream = rows * (1 + columns * channels), zlib.decompressobj()
    try:
        unpacked = len(stream.decompress(data, size + 1))
    except zlib.error as error:
        raise check.error(f"images that cannot be decompressed ({error})", "a whole PNG") from None
    check.that(unpacked == size, f"{unpacked} bytes of image rows", f"{size}")
    check.that(stream.eof and not stream.unused_data, "image data without an end, or beyond it", "a whole PNG")
