"""Samples that come from outside, looked at closely: every pixel, not types and shapes alone."""

import math
from collections.abc import Sequence

import numpy as np

from collabdm.data.samples import Samples
from collabdm.errors import DataError, explain

__all__ = ["check_finite_rows", "check_float_pixels", "checked_samples"]


def checked_samples(
    images: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, source: str, any_range: bool = False
) -> Samples:
    """Samples from outside, looked at closely; `source` names them in errors. `any_range`: of floats, only that they
    are finite.

    Raises:
        DataError: no rows, an array that is no [n, C, H, W], a label outside the classes, pixels that are NaN, infinite
            or outside [0, 1], or 8-bit pixels that are only 0 and 1.
    """
    if len(labels) == 0:
        raise DataError(
            explain(f"rows of {source}", got=0, expected="at least one", fix="check that the data is complete")
        )
    if images.ndim != 4:
        got, expected = f"{images.dtype} {list(images.shape)}", "uint8 or float32 [n, C, H, W]"
        raise DataError(explain(f"{source}: images", got=got, expected=expected, fix="convert the array"))
    if images.dtype.kind == "f" and any_range:
        check_finite_rows(images, f"pixels of {source}", expected="finite numbers", fix="repair or drop the image")
    elif images.dtype.kind == "f":
        check_float_pixels(images, source)
    elif images.size and int(images.max()) == 1:
        # Black images there are; but images whose brightest pixel is 1 of 255 are masks, and would be taken for black.
        raise DataError(
            explain(
                f"pixels of {source}",
                got="integers up to 1",
                expected="0..255",
                fix="multiply by 255, or give floats in [0, 1]",
            )
        )
    try:
        return Samples(values=images, labels=labels, classes=tuple(classes), any_range=any_range)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


def check_finite_rows(values: np.ndarray, what: str, *, expected: str, fix: str) -> None:
    """Raise `DataError` naming the first row of `values` [n, ...], floats, that holds NaN or infinity."""
    # The extremes alone tell: NaN propagates through min and max, infinities are extremes.
    if values.size and not (math.isfinite(values.min()) and math.isfinite(values.max())):
        bad = int(np.argmax(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise DataError(explain(f"{what}, row {bad}", got="NaN or infinity", expected=expected, fix=fix))


def check_float_pixels(images: np.ndarray, source: str) -> None:
    """Raise `DataError` where float pixels [n, ...] are not finite or not within [0, 1]; `source` says whose."""
    expected, fix = "finite numbers in [0, 1]", "repair or drop the image"
    check_finite_rows(images, f"pixels of {source}", expected=expected, fix=fix)
    low, high = float(images.min(initial=0)), float(images.max(initial=0))
    if low < 0 or high > 1:
        raise DataError(
            explain(
                f"pixels of {source}",
                got=f"floats from {low:g} to {high:g}",
                expected="floats in [0, 1], or uint8",
                fix=_range_fix(low, high),
            )
        )


def _range_fix(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "divide by 255"
    if low >= -1 and high <= 1:
        return "bring [-1, 1] to [0, 1]: (x + 1) / 2"
    return "undo the normalisation, x * std + mean"
