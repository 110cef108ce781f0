"""One trial of a classical judge: it learns a set, and says which classes the test data have.

It gets the samples as networks see them, flat where it is `flat`: normalised, tiles expanded, but never augmented or
mixed. Its targets are the labels. On any number of threads it gives the same bits: operations of linear algebra run on
one thread, and test samples are shared among threads in chunks of a fixed size.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from collabdm.data.samples import Samples
from collabdm.engine.workers import Threads, in_order, library_threads
from collabdm.judges.base import JudgeSpec, Learner
from collabdm.modality import Modality
from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.predicting import predictions
from collabdm.training.scores import Scores, scores
from collabdm.training.training_set import TrainingSet

__all__ = ["judge_trial"]

CHUNK = 1024
"""Test samples that a thread takes at once."""


def judge_trial(
    spec: JudgeSpec,
    training: TrainingSet,
    test: Samples,
    *,
    seed: int,
    threads: int,
    checkpoint: Checkpoint | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Scores:
    """How right the judge is on all test samples; `tell` gets one line for whatever is not as its settings say.

    A set of a single class teaches nothing: then that class is said of every sample. With a `checkpoint` an interrupted
    test goes on from it; learning starts anew.
    """
    labels = training.labels.cpu().numpy()
    learner = _learned(spec, training, labels, seed=seed, threads=threads, tell=tell)

    def said(start: int) -> Tensor:
        shown = _shown(spec, _seen(training.sample, test.values[start : start + CHUNK]))
        with library_threads(1):
            return torch.from_numpy(np.asarray(learner.predict(shown), np.int64))

    def predict(first: int, last: int) -> Tensor:
        # Linear algebra is limited for the whole process: here, so that threads do not lift it for one another.
        with library_threads(1):
            return torch.cat(list(in_order(said, range(first, last, CHUNK), Threads(threads, 1))))

    predicted = predictions(predict, len(test), chunk=CHUNK, checkpoint=checkpoint)
    return scores(predicted, test.labels, len(test.classes))


def _learned(
    spec: JudgeSpec,
    training: TrainingSet,
    labels: np.ndarray,
    *,
    seed: int,
    threads: int,
    tell: Callable[[str], None],
) -> Learner:
    present = np.unique(labels)
    if len(present) < 2:
        tell(f"{spec.label}: the set has a single class, which it says of every sample")
        return _Constant(int(present[0]))
    import joblib  # here, since it takes a while, and networks need none

    if remark := spec.remark(labels):
        tell(remark)
    given = training.samples
    samples = _seen(training.sample, given.values) if isinstance(given, Samples) else given.cpu()
    learner = spec.learner(labels, seed=seed % 2**32)
    with warnings.catch_warnings(record=True) as raised, library_threads(threads):
        warnings.simplefilter("always")
        with joblib.parallel_config("threading", n_jobs=threads):
            learner.fit(_shown(spec, samples), labels)
    for line in dict.fromkeys(str(one.message).strip().splitlines()[0].rstrip(".: ") for one in raised):
        tell(f"{spec.label}: {line}; it is taken as it is")
    return learner


def _seen(sample: Modality, values: np.ndarray) -> Tensor:
    return sample.tensors(values, device="cpu", dtype=torch.float32)


def _shown(spec: JudgeSpec, samples: Tensor) -> np.ndarray:
    return (samples.flatten(1) if spec.flat else samples).numpy().astype(spec.dtype, copy=False)


class _Constant:
    def __init__(self, y: int) -> None:
        self._y = y

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """There is nothing to learn."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The one class."""
        return np.full(len(X), self._y)
