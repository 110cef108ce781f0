"""Files of several frames, and parts that nobody asked for: what of them is not read is told."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collabdm.data import load_dataset
from collabdm.errors import DataWarning


def save(path: Path, frames: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [Image.fromarray(np.full((8, 8), 40 * (k + 1), np.uint8)) for k in range(frames)]
    if frames == 1:
        pictures[0].save(path)
    else:
        pictures[0].save(path, save_all=True, append_images=pictures[1:])


@pytest.mark.parametrize("ending", ["gif", "tif"])
def test_frames_after_the_first_are_counted_and_told(ending: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for k in range(3):
            save(tmp_path / split / "still" / f"{k}.png")
            save(tmp_path / split / "moving" / f"{k}.{ending}", frames=3 if k else 1)
    with pytest.warns(
        DataWarning, match="2 of 6 images have several frames or pages, of which the first is read"
    ) as told:
        data = load_dataset(str(tmp_path))
    assert len(told) == 2
    assert {int(image.max()) for image in data.train.values} == {40}


def test_still_images_say_nothing(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / split / "a" / "0.png")
        save(tmp_path / split / "b" / "0.gif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset(str(tmp_path))


def test_a_part_beside_train_and_test_is_counted(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for k in range(count):
            save(tmp_path / split / "a" / f"{k}.png")
            save(tmp_path / split / "b" / f"{k}.png")
    with pytest.warns(DataWarning, match="passed over 4 x image of the part val"):
        data = load_dataset(str(tmp_path))
    assert (len(data.train), len(data.test)) == (6, 2)
    # Where one part alone is asked for, the others are not lost.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_dataset(str(tmp_path), splits=("train",)).train) == 6
