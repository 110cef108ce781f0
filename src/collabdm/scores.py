"""How right predictions are where classes are unequal; accuracy alone would praise whoever always says the largest."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Scores", "confusion", "score_table", "scores"]


class Scores(NamedTuple):
    """All in [0, 1]. `per_class` is the share of a class's samples that are found, None for a class without any.

    `macro_f1`: the mean, over the classes that are held or predicted, of the harmonic mean of precision and recall; a
    class that is never found counts as zero, however rare it is.
    """

    accuracy: float
    per_class: tuple[float | None, ...]
    macro_f1: float


def scores(predicted: np.ndarray, labels: np.ndarray, classes: int) -> Scores:
    """Scores of at least one prediction; both arguments int64 [n], in [0, classes)."""
    matrix = confusion(labels, predicted, classes)
    right, held, claimed = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    present = held + claimed > 0
    return Scores(
        accuracy=float(right.sum() / len(labels)),
        per_class=tuple(_ratio(hit, count) for hit, count in zip(right, held, strict=True)),
        macro_f1=float(np.mean(2 * right[present] / (held + claimed)[present])),
    )


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many samples of class i (row) were taken for class j (column): int64 [classes, classes]."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def score_table(predicted: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """`scores` with precision, recall, F1 and support of each class by name, as plain JSON; None where undefined."""
    matrix = confusion(labels, predicted, len(classes))
    right, held, claimed = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    found = scores(predicted, labels, len(classes))
    per_class = {
        name: {
            "precision": _ratio(right[y], claimed[y]),
            "recall": _ratio(right[y], held[y]),
            "f1": _ratio(2 * right[y], held[y] + claimed[y]),
            "support": int(held[y]),
        }
        for y, name in enumerate(classes)
    }
    return {"accuracy": found.accuracy, "macro_f1": found.macro_f1, "per_class": per_class}


def _ratio(part: np.integer, whole: np.integer) -> float | None:
    return float(part / whole) if whole else None
