"""Small files of series, as people have them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

HEAD = "#comment\n@problemName toy\n@timeStamps false\n@univariate false\n@classLabel true walk run\n@data\n"


@pytest.fixture
def ts_pair(tmp_path: Path) -> Path:
    """Two channels, three series of 3, 2 and 3 steps, and a test file of one."""
    train = HEAD + "1,2,3:4,5,6:walk\n0.5,?:NaN,-1e2:run\n\n7,8,9:1,1,1: walk \n"
    (tmp_path / "Toy_TRAIN.ts").write_text(train)
    (tmp_path / "Toy_TEST.ts").write_text(HEAD + "1,1,1,1:2,2,2,2:run\n")
    return tmp_path


def tone(frequency: float, seconds: float, rate: int = 16_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def write_wave(path: Path, wave: np.ndarray, rate: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, wave)
    return path
