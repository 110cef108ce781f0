"""Arrays of images as people store them, to uint8 or float32 [n, C, H, W]."""

import math

import numpy as np

from collabdm.errors import DataError, explain

__all__ = ["channels_first", "pixels_of"]


def pixels_of(what: str, images: np.ndarray) -> np.ndarray:
    """As uint8, or as float32 where they are floats; integers of any size within 0..255, booleans as black and white.

    Raises:
        DataError: integers beyond that, or no numbers.
    """
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "f":
        return images.astype(np.float32)
    if images.dtype.kind == "b":
        return images.astype(np.uint8) * np.uint8(255)
    if images.dtype.kind not in "iu":
        got, expected = f"{images.dtype} {list(images.shape)}", "uint8, or floats in [0, 1]"
        raise DataError(explain(what, got=got, expected=expected, fix="convert the array"))
    if images.size and (images.min() < 0 or images.max() > 255):
        got, fix = f"integers from {images.min()} to {images.max()}", "scale to 0..255 and store uint8"
        if images.dtype == np.uint16:
            fix = "scale all to 0..255: of 16 bits in full use, (x // 257).astype(np.uint8)"
        raise DataError(explain(what, got=got, expected="integers within 0..255", fix=fix))
    return images.astype(np.uint8)


def channels_first(what: str, images: np.ndarray) -> tuple[np.ndarray, str]:
    """[n, C, H, W] with C of 1 or 3, and a line on what is left out that might be something else than transparency.

    Raises:
        DataError: a shape that is not of images, or that can be read in two ways.
    """
    if images.ndim == 3:
        return images[:, None], ""
    some = (1, 2, 3, 4)
    first = images.ndim == 4 and images.shape[1] in some
    last = images.ndim == 4 and images.shape[3] in some
    if first == last:
        raise _shape_refused(what, images, ambiguous=first)
    moved = np.moveaxis(images, 3, 1) if last else images
    left = "the second of two channels is taken for transparency and left out" if moved.shape[1] == 2 else ""
    return np.ascontiguousarray(moved[:, : {2: 1, 4: 3}.get(moved.shape[1], moved.shape[1])]), left


def _shape_refused(what: str, images: np.ndarray, *, ambiguous: bool) -> DataError:
    fix = "reshape or transpose the array"
    if images.ndim == 2:
        for channels in (1, 3):
            side = math.isqrt(images.shape[1] // channels)
            if side > 1 and channels * side * side == images.shape[1]:
                more = ", 3" if channels == 3 else ""
                fix = (
                    f"give every image its rows and columns back: x.reshape(-1, {side}, {side}{more}), if it is square"
                )
                break
    elif ambiguous:
        fix = "put the channels where they cannot be taken for rows: for [n, H, W, C], x.transpose(0, 3, 1, 2)"
        fix += "; grey images need none, as [n, H, W]"
    elif images.ndim == 4:
        fix = "keep one channel (grey) or three (red, green, blue)"
    got = f"{'an ambiguous shape' if ambiguous else 'a shape'} {list(images.shape)}"
    expected = "[n, H, W], [n, H, W, C] or [n, C, H, W] with C of 1, 3 or 4"
    return DataError(explain(what, got=got, expected=expected, fix=fix))
