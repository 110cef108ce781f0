"""What a client sent and is sent: every refusal of a contribution ends here, so that all are alike; and how floats
that are to be sent are rounded."""

import numpy as np

from collabdm.errors import ContributionError, explain

__all__ = ["LARGEST_VALUE", "Checker", "rounded"]

LARGEST_VALUE = 1e6


class Checker:
    """Checks one contribution; every failure is a `ContributionError` that names it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def error(self, got: object, expected: str) -> ContributionError:
        """The refusal, to be raised."""
        return ContributionError(
            explain(self.name, got=str(got)[:200], expected=expected, fix="ask the client to contribute again")
        )

    def that(self, holds: bool, got: object, expected: str) -> None:
        """Raise the refusal unless `holds`."""
        if not holds:
            raise self.error(got, expected)

    def form(self, array: np.ndarray, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """`array` has this dtype and shape."""
        got = f"{name} {array.dtype}{list(array.shape)}"
        self.that(array.dtype == dtype and array.shape == shape, got, f"{dtype}{list(shape)}")

    def integers(self, array: np.ndarray, name: str, shape: tuple[int, ...], below: int) -> np.ndarray:
        """An int64 array of this shape within 0..below - 1."""
        self.form(array, name, shape, np.dtype(np.int64))
        self.that(bool(((array >= 0) & (array < below)).all()), f"{name} out of range", f"0 <= {name} < {below}")
        return array

    def floats(
        self,
        array: np.ndarray,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        *,
        least: float = -LARGEST_VALUE,
        most: float = LARGEST_VALUE,
    ) -> np.ndarray:
        """A finite array of this shape and dtype within `least`..`most`, as float32."""
        self.form(array, name, shape, dtype)
        self.that(bool(np.isfinite(array).all()), f"NaN or infinity in {name}", "finite numbers")
        if array.size:
            low, high = float(array.min()), float(array.max())
            self.that(low >= least and high <= most, f"{low:.3g} to {high:.3g} in {name}", f"{least:g} to {most:g}")
        return array.astype(np.float32)


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Every float rounded to the nearest of this kind; what is finite and beyond its range is clipped."""
    largest = np.finfo(dtype).max
    return np.where(np.isfinite(values), np.clip(values, -largest, largest), values).astype(dtype)
