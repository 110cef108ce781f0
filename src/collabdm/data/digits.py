"""scikit-learn's 1,797 digits, which every installation has: 8x8 grey values from 0 to 16, in a fixed split."""

import numpy as np

from collabdm.data.presets import PRESETS
from collabdm.data.samples import Samples
from collabdm.randomness import Stream

__all__ = ["digits_in"]

_HELD_OUT = 500


def digits_in(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Grey values float32 [n, 8, 8] and labels int64 [n] of `train` (1,297) or `test` (500), classes evenly shared."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    values, labels = np.asarray(pixels, dtype=np.float32).reshape(-1, 8, 8), np.asarray(targets, dtype=np.int64)
    whole = Samples(values=values[:, None], labels=labels, classes=PRESETS["digits"].classes)
    train, test = whole.split_indices(_HELD_OUT / len(whole), Stream(0, "digits", "split"))
    chosen = {"train": train, "test": test}[split]
    return values[chosen], labels[chosen]
