"""Scores of predictions where classes are unequal; accuracy alone would praise whoever always says the largest."""

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["confusion", "scores"]


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many samples of class i (row) were taken for class j (column): int64 [classes, classes]."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def scores(matrix: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro-F1 and per class precision, recall, F1 and support of a `confusion` matrix, as plain JSON.

    Macro-F1 is the plain mean of F1 over the classes that occur, as truth or as prediction (scikit-learn's
    definition); others have None everywhere. A class that occurs and is never right has F1 0.
    """
    right, truth, said = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    per_class = {
        name: {
            "precision": _ratio(right[y], said[y]),
            "recall": _ratio(right[y], truth[y]),
            "f1": _ratio(2 * right[y], truth[y] + said[y]),
            "support": int(truth[y]),
        }
        for y, name in enumerate(classes)
    }
    occurring = [one["f1"] for one in per_class.values() if one["f1"] is not None]
    return {
        "accuracy": _ratio(right.sum(), matrix.sum()),
        "macro_f1": float(np.mean(occurring)) if occurring else None,
        "per_class": per_class,
    }


def _ratio(part: np.integer, whole: np.integer) -> float | None:
    return float(part / whole) if whole else None
