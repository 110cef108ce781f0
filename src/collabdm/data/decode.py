"""Image files to one uint8 array, quickly: PIL on the bytes, without the library's per-item machinery."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from collabdm.errors import DataError, explain

__all__ = ["decode_images"]

_GREY = {"1", "L", "LA", "La"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def decode_images(items: Iterable[Any], count: int, *, source: str) -> np.ndarray:
    """`count` encoded images (bytes, or mappings with `bytes` or `path`), decoded: uint8 [count, C, H, W].

    Greyscale and 1-bit give C = 1, all else C = 3 (alpha dropped, palettes looked up); one colour image among
    greyscale ones makes all of them C = 3.

    Raises:
        DataError: an image is missing, unreadable, deeper than 8 bits, or of another size than the first.
    """
    images = np.empty((0, 1, 1, 1), np.uint8)
    for row, item in enumerate(items):
        pixels = _decode(item, f"image of {source}, row {row}")
        channels, height, width = pixels.shape
        if row == 0:
            images = np.empty((count, channels, height, width), np.uint8)
        if (height, width) != images.shape[2:]:
            raise DataError(
                explain(
                    f"image of {source}, row {row}",
                    got=f"{width}x{height} pixels",
                    expected=f"{images.shape[3]}x{images.shape[2]}, as row 0",
                    fix="resize all images to one size",
                )
            )
        if channels > images.shape[1]:
            images = np.repeat(images, channels, axis=1)
        images[row] = pixels
    return images


def _decode(item: Any, what: str) -> np.ndarray:
    fields = item if isinstance(item, dict) else {"bytes": item}
    content, path = fields.get("bytes"), fields.get("path")
    file = path if content is None else io.BytesIO(content)
    if file is None:
        raise DataError(explain(what, got="nothing", expected="an image", fix="drop the row"))
    try:
        with Image.open(file) as image:
            return _pixels(image, what)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            explain(
                what,
                got=f"unreadable data ({error})" if path is None else f"unreadable file {path} ({error})",
                expected="a PNG, JPEG or other image that Pillow reads",
                fix="replace the file or drop the row",
            )
        ) from error


def _pixels(image: Image.Image, what: str) -> np.ndarray:
    if image.mode in _DEEP:
        raise DataError(
            explain(
                what,
                got=f"mode {image.mode}",
                expected="8 bits per channel",
                fix="scale the pixels to 0..255 first",
            )
        )
    upright = ImageOps.exif_transpose(image) if "exif" in image.info else image
    mode = "L" if upright.mode in _GREY else "RGB"
    array = np.asarray(upright if upright.mode == mode else upright.convert(mode))
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
