"""Labels as people store them, as whole numbers or text."""

import numpy as np

from collabdm.errors import DataError, explain

__all__ = ["class_of_rows", "settled_labels"]


def settled_labels(source: str, labels: np.ndarray) -> np.ndarray:
    """Labels [n] of whole numbers in whatever type (1.0, true) as int64, text as it is.

    Raises:
        DataError: a number that is missing, not whole, or below 0.
    """
    if labels.dtype.kind == "U":
        return labels
    if labels.dtype.kind == "f":
        wrong = ~np.isfinite(labels) | (labels != np.floor(labels)) | (np.abs(labels) > 2**53)
        if wrong.any():
            row = int(np.argmax(wrong))
            missing = bool(np.isnan(labels[row]))
            got = "nothing" if missing else labels[row]
            expected = "a class: text, or a whole number such as 3 or 3.0"
            fix = "label every row, or drop it" if missing else "store classes; a measured value is none"
            raise DataError(explain(f"label of {source}, row {row}", got=got, expected=expected, fix=fix))
    whole = labels.astype(np.int64)
    if len(whole) and whole.min() < 0:
        row = int(np.argmin(whole))
        fix = "label the row, or drop it"
        raise DataError(explain(f"label of {source}, row {row}", got=whole[row], expected="0 or above", fix=fix))
    return whole


def class_of_rows(source: str, labels: np.ndarray) -> np.ndarray:
    """The class of each row of labels [n, classes] that hold a single 1 each (one-hot): int64 [n].

    Raises:
        DataError: a row that says another thing, as where an image may be of several classes.
    """
    hot = labels != 0
    wrong = (hot.sum(axis=1) != 1) | (labels.max(axis=1) != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        several = int(hot[row].sum())
        got = f"{several} classes at once" if several > 1 else f"{labels[row].max()} as the only entry"
        expected = "one class per image: a number, text, or a row with a single 1"
        fix = "choose one class for each image; images of several classes are not supported"
        raise DataError(explain(f"{source}, row {row}", got=got, expected=expected, fix=fix))
    return hot.argmax(axis=1).astype(np.int64)
