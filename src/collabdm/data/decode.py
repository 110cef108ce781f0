"""Image files to one array, quickly: PIL on the bytes, without the library's per-item machinery."""

import io
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from collabdm.data.stated_range import LEVELS, StatedRange
from collabdm.errors import DataError, DataWarning, explain

__all__ = ["decode_images"]

_GREY = {"1", "L", "LA", "La"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def decode_images(items: Iterable[Any], count: int, *, source: str, mode: str | None = None) -> np.ndarray:
    """`count` encoded images (bytes, or mappings with `bytes`, `path` or both), decoded: uint8 [count, C, H, W].

    Where files state the range of their levels (a distilled set's do), all are float32 instead, as pixels of which 0 is
    black and 1 white.

    Every image is upright, as a viewer shows it: an orientation that its file states (EXIF) is applied, in any kind of
    file. Greyscale and 1-bit give C = 1, all else C = 3 (alpha dropped, palettes looked up); one colour image among
    greyscale ones makes all of them C = 3. Where a `mode` of Pillow is declared for them (`L`, `RGB`), each is first
    brought to that.

    Raises:
        DataError: an image is missing, unreadable, deeper than 8 bits, or of another size than the first.
    """
    images, first, moving = np.empty((0, 1, 1, 1), np.uint8), "", 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow's, on what does not change a pixel: damaged EXIF, palettes
        for row, item in enumerate(items):
            what = _name_of(item, source, row)
            pixels, frames = _decode(item, what, mode)
            moving += frames > 1
            channels, height, width = pixels.shape
            if row == 0:
                images, first = np.empty((count, channels, height, width), np.uint8), what
            if (height, width) != images.shape[2:]:
                got, expected = f"{width}x{height} pixels", f"{images.shape[3]}x{images.shape[2]}, as {first}"
                raise DataError(explain(what, got=got, expected=expected, fix="resize all images to one size"))
            if channels > images.shape[1]:
                images = np.repeat(images, channels, axis=1)
            if pixels.dtype == np.float32 and images.dtype == np.uint8:
                images = images.astype(np.float32) / np.float32(LEVELS)
            images[row] = pixels if pixels.dtype == images.dtype else pixels / np.float32(LEVELS)
    if moving:
        told = f"{source}: {moving} of {count} images have several frames or pages, of which the first is read"
        warnings.warn(DataWarning(told), stacklevel=2)
    return images


def _fields(item: Any) -> dict[str, Any]:
    return item if isinstance(item, dict) else {"bytes": item}


def _name_of(item: Any, source: str, row: int) -> str:
    """The file, where there is one; else the row, with the name that the image had where that is kept."""
    fields = _fields(item)
    path, name = fields.get("path"), fields.get("name")
    if name or (path and fields.get("bytes") is None):
        return f"image {name or path}"
    return f"image of {source}, row {row}" + (f" ({path})" if path else "")


def _decode(item: Any, what: str, mode: str | None) -> tuple[np.ndarray, int]:
    """The image's pixels, and how many frames or pages its file has."""
    fields = _fields(item)
    content, path = fields.get("bytes"), fields.get("path")
    file = path if content is None else io.BytesIO(content)
    if file is None:
        raise DataError(explain(what, got="nothing", expected="an image", fix="drop the row"))
    try:
        with Image.open(file) as image:
            return _pixels(image, what, mode), _frames(image)
    except DataError:
        raise
    except Exception as error:
        # Of an image without a file Pillow tells where in memory it was.
        reason = "no image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise DataError(
            explain(
                what,
                got=f"unreadable data ({reason})" if content is not None else f"an unreadable file ({reason})",
                expected="a PNG, JPEG or other image that Pillow reads",
                fix="replace or remove the image",
            )
        ) from error


def _pixels(image: Image.Image, what: str, declared: str | None) -> np.ndarray:
    upright = _upright(image)
    if upright.mode in _DEEP or declared in _DEEP:
        raise DataError(
            explain(
                what,
                got=f"mode {upright.mode if upright.mode in _DEEP else declared}, deeper than 8 bits",
                expected="8 bits per channel",
                fix="scale the pixels to 0..255 and save them as 8 bits, all images by the same factor",
            )
        )
    if declared is not None and upright.mode != declared:
        upright = upright.convert(declared)
    mode = "L" if upright.mode in _GREY else "RGB"
    array = np.asarray(upright if upright.mode == mode else upright.convert(mode))
    levels = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    stated = StatedRange.read(image.info, what)
    return levels if stated is None else stated.pixels(levels, what)


def _frames(image: Image.Image) -> int:
    # What a phone adds to a photograph (MPO) is a small copy of it.
    if image.format == "MPO":
        return 1
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # a damaged frame after the first
        return 2


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # a PNG may state its orientation after its pixels; a TIFF is turned by this alone
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # damaged EXIF, of which a viewer takes no notice either
        return image
    return ImageOps.exif_transpose(image) if turned else image
