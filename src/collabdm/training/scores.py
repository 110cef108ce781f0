"""How right predictions are: accuracy, recall of each class, macro-F1."""

from typing import NamedTuple

import numpy as np

__all__ = ["Scores", "scores"]


class Scores(NamedTuple):
    """All but the counts in [0, 1].

    `per_class` is the share of a class's samples that are found, None for a class without any.
    `macro_f1`: the mean, over the classes that are held or predicted, of the harmonic mean of precision and recall; a
    class that is never found counts as zero, however rare it is. `confusion[i][j]`: how many samples of class i were
    called j.
    """

    accuracy: float
    per_class: tuple[float | None, ...]
    macro_f1: float
    confusion: tuple[tuple[int, ...], ...]


def scores(predicted: np.ndarray, labels: np.ndarray, classes: int) -> Scores:
    """Scores of at least one prediction; both arguments int64 [n], in [0, classes)."""
    held, claimed = (np.bincount(values, minlength=classes) for values in (labels, predicted))
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    present = held + claimed > 0
    pairs = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    return Scores(
        accuracy=float(hits.sum() / len(labels)),
        per_class=tuple(float(hit / count) if count else None for hit, count in zip(hits, held, strict=True)),
        macro_f1=float(np.mean(2 * hits[present] / (held + claimed)[present])),
        confusion=tuple(tuple(row) for row in pairs.tolist()),
    )
