"""Judging as a run does it: what of the test data is changed to fit is told."""

import numpy as np
import pytest
import torch

from collabdm.config import Config
from collabdm.data import Dataset, Samples
from collabdm.engine import REFERENCE
from collabdm.errors import DataWarning
from collabdm.evaluation.judging import judge
from collabdm.modalities import MODALITIES
from collabdm.planning import sample_for
from collabdm.progress import silent
from collabdm.training.training_set import TrainingSet


def test_test_series_that_are_cut_are_told() -> None:
    preset = MODALITIES["series"].preset_of("mine", (1, 4), ("a", "b"))
    config = Config(modality="series", evaluate={"networks": ["knn"], "count": 1})
    values = np.array([[[0, 1, 0, 1, 5, 5]], [[1, 1, 0, 0, 5, 5]]], np.float32)
    test = Samples(values=values, labels=np.array([0, 1]), classes=("a", "b"))
    sample = sample_for(config, preset)
    stored = torch.tensor([[[-1.0, 1, -1, 1]], [[1, 1, -1, -1]]])
    training = TrainingSet(samples=stored, labels=torch.tensor([0, 1]), sample=sample, augment=(), targets=None)
    dataset = Dataset(name="mine", train=test.take([]), test=test, preset=preset, columns={})
    with pytest.warns(DataWarning, match=r"of 2 series 2 are longer \(cut\)"):
        found = judge(training, dataset, config, engine=REFERENCE, kept=None, report=silent)
    assert len(found.results) == 1
