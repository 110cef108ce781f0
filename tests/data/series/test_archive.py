"""Series in an `.npz`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collabdm.data import Dataset, load_dataset, load_samples
from collabdm.data.series.log_mel import at_rate, log_mel
from collabdm.errors import DataError, DataWarning
from data.series.conftest import tone


def read(path: Path, *splits: str, **arrays: Any) -> Dataset:
    np.savez(path / "walks.npz", **arrays)
    return load_dataset(str(path / "walks.npz"), splits=splits or ("train", "test"), modality="series")


def test_parts_classes_and_columns(tmp_path: Path) -> None:
    x = np.arange(24).reshape(4, 2, 3)
    data = read(
        tmp_path,
        x_train=x,
        y_train=np.array(["b", "a", "b", "b"]),
        person_train=[7, 7, 8, 9],
        x_test=x[:1],
        y_test=["a"],
    )
    assert (data.name, data.train.classes) == ("walks", ("a", "b"))
    assert data.train.labels.tolist() == [1, 0, 1, 1]
    assert data.test.labels.tolist() == [0]
    np.testing.assert_array_equal(data.train.values, x.astype(np.float32))
    assert data.columns["person"].tolist() == [7, 7, 8, 9]
    assert data.preset.sample == {"channels": 2, "length": 3}


def test_rows_alone_are_one_channel_and_x_and_y_are_the_whole(tmp_path: Path) -> None:
    for split in ("train", "test"):
        data = read(tmp_path, split, x=np.ones((2, 5)), y=np.array([3.0, 5.0]))
        held = data.train if split == "train" else data.test
        assert (held.shape, held.classes, held.labels.tolist()) == ((1, 5), ("3", "5"), [0, 1])


def test_declared_classes_give_numbers_their_names(tmp_path: Path) -> None:
    data = read(tmp_path, "train", x=np.ones((2, 5)), y=np.array([2, 0]), classes=np.array(["sit", "stand", "läuft"]))
    assert data.train.classes == ("sit", "stand", "läuft")
    assert data.train.labels.tolist() == [2, 0]
    one_hot = read(tmp_path, "train", x=np.ones((2, 5)), y=np.eye(3)[[1, 0]], classes=np.array(["a", "b", "c"]))
    assert one_hot.train.labels.tolist() == [1, 0]


def test_more_channels_than_steps_are_told(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match=r"100 channels of 6 steps; if it is the other way round: x\.transpose"):
        assert read(tmp_path, "train", x=np.ones((2, 100, 6)), y=np.array([0, 1])).train.shape == (100, 6)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"a": np.ones(3)}, "arrays in .*: got a; expected series and their labels"),
        ({"x": np.ones((2, 3))}, "arrays in .*: got x"),
        ({"x": np.ones((2, 3, 4, 5)), "y": [0, 1]}, r"x of .*: got float64 \[2, 3, 4, 5\]"),
        ({"x": np.array([["a", "b"]]), "y": [0]}, r"x of .*: got <U1"),
        ({"x": np.ones((2, 0)), "y": [0, 1]}, r"x of .*: got float64 \[2, 0\]"),
        ({"x": np.ones((2, 3)), "y": [0]}, r"y of .*: got int64 \[1\]; expected whole numbers or text, \[2\]"),
        ({"x": np.ones((2, 3)), "y": [0.5, 1]}, r"label of .*row 0: got 0\.5"),
        ({"x": np.ones((0, 3)), "y": np.ones(0)}, "series of .*: got 0; expected at least one"),
        ({"x": np.array([None, [1]], dtype=object), "y": [0, 1]}, "got an array of Python objects"),
        ({"x": np.ones((2, 3)), "y": ["a", "b"], "classes": ["a", "c"]}, "row 1 of x: got b; expected one of a, c"),
        ({"x": np.ones((2, 3)), "y": [0, 7], "classes": ["a", "c"]}, "row 1 of x: got 7; expected one of 0, 1"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read(tmp_path, "train", **arrays)


def test_sounds_with_their_rate_become_bands(tmp_path: Path) -> None:
    waves = np.full((2, 4000), np.nan)
    waves[0], waves[1, :2000] = tone(700, 0.5, 8000), tone(700, 0.25, 8000)
    data = read(tmp_path, "train", x=waves, y=np.array([0, 1]), rate=8000)
    assert data.preset.sample == {"channels": 40, "length": 31, "front_end": "log-mel"}
    expected = log_mel(at_rate(tone(700, 0.25, 8000), 8000))
    np.testing.assert_allclose(data.train.values[1, :, : expected.shape[1]], expected, atol=1e-3)
    assert np.isnan(data.train.values[1, :, expected.shape[1] :]).all()


@pytest.mark.parametrize(
    ("waves", "rate", "expected"),
    [
        (np.ones((2, 900)), np.array([8000, 8000]), r"rate of .*: got int64 \[2\]; expected one whole number"),
        (np.ones((2, 900)), 0, "rate of .*expected one whole number"),
        (np.ones((2, 900)), 44_100.5, "rate of .*expected one whole number"),
        (np.ones((2, 2, 900)), 8000, r"x of .*: got 2 channels; expected sounds \[n, steps\]"),
        (np.array([[1.0, 2, 3], [1, np.nan, 3]]), 8000, "x of .*, row 1: got NaN or infinity"),
        (np.array([[1.0, 2, np.inf], [1, 2, 3]]), 8000, "x of .*, row 0: got NaN or infinity"),
    ],
)
def test_sounds_that_cannot_be_are_refused(tmp_path: Path, waves: np.ndarray, rate: Any, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read(tmp_path, "train", x=waves, y=np.array([0, 1]), rate=rate)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"data file .*x\.npz"):
        load_samples(str(tmp_path / "x.npz"), modality="series")
