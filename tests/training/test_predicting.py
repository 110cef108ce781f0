"""Predictions in whole chunks, which go on where they were interrupted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from collabdm.storage.checkpoints import Checkpoint
from collabdm.training.predicting import CHUNKS, predictions
from interruptions import assert_goes_on

CHUNK = 3
SIZE = 2 * CHUNKS * CHUNK + 5


@pytest.mark.parametrize("kills", [[], [1], [2], [3], [1, 1], [1, 2]])
def test_an_interrupted_test_goes_on(kills: list[int], tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def predict(first: int, last: int) -> Tensor:
        asked.append((first, last))
        return torch.arange(first, last) % 7

    def work(folder: Path) -> np.ndarray:
        return predictions(predict, SIZE, chunk=CHUNK, checkpoint=Checkpoint(folder / "state", "basis"))

    assert_goes_on(work, tmp_path, np.array_equal, kills)
    assert np.array_equal(work(tmp_path / "again"), np.arange(SIZE) % 7)
    assert all(first % CHUNK == 0 and (last % CHUNK == 0 or last == SIZE) for first, last in asked)


def test_no_images_have_no_predictions() -> None:
    assert predictions(lambda first, last: torch.arange(last), 0, chunk=4).shape == (0,)
