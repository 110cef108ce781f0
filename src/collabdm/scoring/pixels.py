"""The pixels of a set that somebody else made: order, levels, size and colour, brought to those of a data set.

What the numbers stand for is told by their range where it can only be one thing, and asked for where it cannot.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from collabdm.data.npz_pixels import channels_first
from collabdm.data.outside import check_finite_rows
from collabdm.data.stated_range import stated_in_array
from collabdm.errors import DataError, explain
from collabdm.images.modality import Images

__all__ = ["LEVELS", "Levels", "fitted", "ordered", "unit_pixels"]

Levels = Literal["auto", "unit", "bytes", "signed", "normalised"]

LEVELS: dict[str, str] = {
    "unit": "floats in [0, 1]",
    "bytes": "numbers in 0..255",
    "signed": "floats in [-1, 1], (x + 1) / 2 as pixels",
    "normalised": "floats normalised by the mean and deviation of the data set",
}
"""What the numbers of an array of images may stand for; 0 is black and 1 white in every case, once they are pixels."""

# So far beyond black and white a distilled set goes that was kept in pixels; normalised numbers go further.
_BEYOND = 0.25
# Of numbers in [-1, 1] some are nearly black, or they may be anything.
_DARK = 0.75
# Normalised numbers have a deviation of about 1, and sets that were never clipped a larger one.
_MOST_SPREAD = 5.0
_MOST_OF = 0.6


def ordered(what: str, images: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """As [n, C, H, W], by the shape (C, H, W) of the data set where that tells; and notes.

    [classes, per class, ...] is taken apart.

    Raises:
        DataError: a shape that is not of images, or that can be read in two ways.
    """
    notes: list[str] = []
    if images.ndim == 5:
        notes.append(f"images {list(images.shape)} are {images.shape[0]} groups, taken one after the other")
        images = images.reshape(-1, *images.shape[2:])
    channels, height, width = shape
    if images.shape[1:] == shape:
        return images, tuple(notes)
    if images.shape[1:] == (height, width, channels):
        notes.append("channels last")
        return np.ascontiguousarray(np.moveaxis(images, 3, 1)), tuple(notes)
    moved, left = channels_first(what, images)
    if images.ndim == 4 and images.shape[1] != moved.shape[1]:
        notes.append("channels last")
    return moved, (*notes, left) if left else tuple(notes)


def unit_pixels(
    what: str,
    images: np.ndarray,
    sample: Images,
    *,
    levels: Levels,
    stated: np.ndarray | None = None,
    made: Images | None = None,
) -> tuple[np.ndarray, str]:
    """Images [n, C, H, W] as pixels, uint8 or float32 with black 0 and white 1, and a note on what the numbers were
    taken for. `stated`: the range that the file has for its levels, or for floats that are pixels; `made`: what the
    file says of its images, by which its floats are normalised.

    Raises:
        DataError: numbers that are not finite, or whose meaning cannot be told or is not what `levels` says.
    """
    if images.dtype.kind not in "biuf":
        raise _refused(what, f"{images.dtype} {list(images.shape)}", "numbers", "convert the array")
    if not images.size:
        raise _refused(what, "no images", "at least one", "check that the file is complete")
    if images.dtype.kind == "b":
        return images.astype(np.uint8) * np.uint8(255), "black and white"
    if images.dtype.kind in "iu":
        return _of_integers(what, images, levels, stated)
    values = images.astype(np.float32)
    check_finite_rows(values, what, expected="finite numbers", fix="repair or drop the image")
    low, high = float(values.min()), float(values.max())
    if levels == "auto" and stated is not None:
        return _pixels_as_stated(what, values, stated, f"floats from {low:.3g} to {high:.3g}")
    if levels == "auto" and made is not None and made.channels == values.shape[1]:
        return _denormalised(values, made), f"floats normalised as the file says ({_both(made)})"
    meant = _meaning(what, values, low, high, sample) if levels == "auto" else levels
    told = f"floats from {low:.3g} to {high:.3g} are taken for {LEVELS[meant]}"
    if meant == "unit":
        return values, told
    if meant == "bytes":
        return values / np.float32(255), told
    if meant == "signed":
        return (values + 1) / 2, told
    if values.shape[1] != sample.channels:
        got, expected = f"{values.shape[1]} channels", f"{sample.channels}, as the data set is normalised by"
        raise _refused(what, got, expected, "undo the normalisation, x * std + mean, or say --levels")
    return _denormalised(values, sample), f"{told} ({_both(sample)})"


def fitted(what: str, pixels: np.ndarray, shape: tuple[int, int, int], *, resize: bool) -> tuple[np.ndarray, list[str]]:
    """Pixels [n, C, H, W] with as many channels and of the size of the data set, and notes. Grey is repeated for
    colour, and colour that is grey all over becomes grey; anything that loses something needs `resize`.

    Raises:
        DataError: another size, or colour for a grey data set, without `resize`.
    """
    notes: list[str] = []
    channels, height, width = shape
    if pixels.shape[1] == 1 and channels == 3:
        pixels = np.repeat(pixels, 3, axis=1)
        notes.append("grey images: their one channel is taken for red, green and blue")
    elif pixels.shape[1] == 3 and channels == 1:
        alike = bool((pixels == pixels[:, :1]).all())
        if not alike and not resize:
            fix = "make them grey, or pass --resize to do so here"
            raise _refused(what, "colour images", "grey ones, as the data set has", fix)
        pixels = pixels[:, :1] if alike else _grey(pixels)
        notes.append("all three channels are the same: one is taken" if alike else "colour images made grey")
    if pixels.shape[2:] != (height, width):
        got = f"{pixels.shape[2]}x{pixels.shape[3]} pixels"
        if not resize:
            fix = "score it on data of its own size, or pass --resize to have it resized (another set than was made)"
            raise _refused(what, got, f"{height}x{width}, as the data set has", fix)
        pixels = _resized(pixels, height, width)
        notes.append(f"{got} resized to {height}x{width}")
    return pixels, notes


def _of_integers(what: str, images: np.ndarray, levels: Levels, stated: np.ndarray | None) -> tuple[np.ndarray, str]:
    low, high = int(images.min()), int(images.max())
    if levels not in ("auto", "bytes"):
        raise _refused(what, f"integers from {low} to {high}", LEVELS[levels], "leave --levels out")
    if low < 0 or high > 255:
        raise _refused(what, f"integers from {low} to {high}", "0..255", "scale to 0..255 and store uint8")
    if high <= 1:
        raise _refused(what, "integers up to 1", "0..255", "multiply by 255, or store floats in [0, 1]")
    whole = images.astype(np.uint8)
    if stated is None:
        return whole, "levels 0..255"
    pixels = stated_in_array(stated, f"range of {what}").pixels(whole, what)
    return pixels, "levels 0..255 in the range that the file states"


def _pixels_as_stated(what: str, values: np.ndarray, stated: np.ndarray, told: str) -> tuple[np.ndarray, str]:
    if not stated_in_array(stated, f"range of {what}").ordinary:
        expected, fix = "levels 0..255 with it, or the range 0 to 1", "drop the array range, or say --levels"
        raise _refused(what, f"{told} and another range", expected, fix)
    return values, f"{told} are pixels, as the range in the file says"


def _denormalised(values: np.ndarray, sample: Images) -> np.ndarray:
    mean, std = (np.array(one, np.float32).reshape(-1, 1, 1) for one in _constants(sample))
    return values * std + mean


def _meaning(what: str, values: np.ndarray, low: float, high: float, sample: Images) -> Levels:
    if low >= -_BEYOND and high <= 1 + _BEYOND:
        return "unit"
    if low >= 0 and 8 < high <= 255:
        return "bytes"
    if -1 - _BEYOND / 2 <= low <= -_DARK and high <= 1 + _BEYOND / 2:
        return "signed"
    # Normalised images go most of the way from the black to the white of the data set, or beyond.
    pairs = list(zip(*_constants(sample), strict=True))
    black, white = min(-mean / std for mean, std in pairs), max((1 - mean) / std for mean, std in pairs)
    wide = low <= _MOST_OF * black or high >= _MOST_OF * white
    if low < 0 and wide and float(values.std()) <= _MOST_SPREAD and high > 1 + _BEYOND / 2:
        return "normalised"
    fix = f"say what they are with --levels: {', '.join(LEVELS)}"
    raise _refused(what, f"floats from {low:.3g} to {high:.3g}", "a range that says what black and white are", fix)


def _constants(sample: Images) -> tuple[Sequence[float], Sequence[float]]:
    return sample.normalisation.mean, sample.normalisation.std


def _both(sample: Images) -> str:
    return " and ".join("/".join(f"{number:g}" for number in one) for one in _constants(sample))


def _grey(pixels: np.ndarray) -> np.ndarray:
    """By the weights of ITU-R 601, as Pillow's."""
    weights = np.array([0.299, 0.587, 0.114], np.float32).reshape(1, 3, 1, 1)
    grey = (pixels.astype(np.float32) * weights).sum(axis=1, keepdims=True)
    return np.rint(grey).astype(np.uint8) if pixels.dtype == np.uint8 else grey


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    import torch
    from torch.nn import functional

    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    given = torch.from_numpy(np.ascontiguousarray(pixels)).float() / scale
    return functional.interpolate(given, (height, width), mode="bilinear", antialias=True).numpy()


def _refused(what: str, got: str, expected: str, fix: str) -> DataError:
    return DataError(explain(what, got=got, expected=expected, fix=fix))
