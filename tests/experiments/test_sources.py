"""Where an experiment's data come from, and what stands in for them."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from collabdm.data import load_dataset
from collabdm.data.presets import PRESETS
from collabdm.errors import DataError, DataWarning
from collabdm.experiments import SCALES
from collabdm.experiments.sources import dataset_for, stand_in_for
from tiny_runs import write_sites


def like_mnist(path: Path) -> str:
    labels = np.repeat(np.arange(10), 200)
    arrays = {"x_train": np.zeros((2000, 28, 28), np.uint8), "y_train": labels}
    tested = {"x_test": np.full((700, 28, 28), 9, np.uint8), "y_test": np.repeat(np.arange(10), 70)}
    np.savez(path, allow_pickle=False, **arrays, **tested)
    return str(path)


def test_given_data_are_what_they_are_called_here(tmp_path: Path) -> None:
    given = {"mnist": like_mnist(tmp_path / "anything.npz")}
    dataset = dataset_for("mnist", given, SCALES["cpu"])
    assert (dataset.name, dataset.preset.mean) == ("mnist", PRESETS["mnist"].mean)
    assert (len(dataset.train), len(dataset.test)) == (2000, 700)
    assert stand_in_for("mnist", given, SCALES["smoke"]) is None
    wrong = {"cifar10": given["mnist"]}
    with pytest.raises(DataError, match=r"data given for cifar10: got 10 classes of \[1, 28, 28\]"):
        dataset_for("cifar10", wrong, SCALES["cpu"])


def test_a_small_scale_keeps_as_many_of_every_class(tmp_path: Path) -> None:
    dataset = dataset_for("mnist", {"mnist": like_mnist(tmp_path / "d.npz")}, SCALES["smoke"])
    assert dataset.train.counts().tolist() == [130] * 10
    assert dataset.test.counts().tolist() == [50] * 10
    assert len(dataset.columns["class"]) == len(dataset.train)


def test_digits_stand_in_with_stations() -> None:
    dataset = dataset_for("images", {}, SCALES["smoke"])
    assert (dataset.name, len(dataset.train)) == ("digits", 1297)
    assert set(dataset.columns["station"]) == {"a", "b"}
    assert stand_in_for("images", {}, SCALES["smoke"]) == "digits"
    assert stand_in_for("images", {}, SCALES["cpu"]) is None


def test_tables_stand_in_for_tables_and_given_ones_are_read_as_asked(tmp_path: Path) -> None:
    dataset = dataset_for("letter", {}, SCALES["smoke"], stand_in="wine", modality="tables")
    assert (dataset.name, stand_in_for("letter", {}, SCALES["smoke"], "wine")) == ("wine", "wine")
    assert stand_in_for("letter", {}, SCALES["cpu"], "wine") is None
    assert stand_in_for("letter", {"letter": "mine.csv"}, SCALES["smoke"], "wine") is None
    lines = ["lettr,x,y,split"] + [f"{'AB'[i % 2]},{i},{i % 3},{'test' if i > 29 else 'train'}" for i in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    given = {"letter": str(tmp_path / "mine.csv")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of columns as the rows have them, and of the column split
        dataset = dataset_for("letter", given, SCALES["cpu"], modality="tables", options={"label": "lettr"})
    assert (dataset.train.classes, len(dataset.train), len(dataset.test)) == (("A", "B"), 30, 10)


def test_a_column_names_every_samples_class(tmp_path: Path) -> None:
    source = str(write_sites(tmp_path / "d.npz"))
    dataset = dataset_for("images", {"images": source}, SCALES["cpu"])
    assert np.array_equal(dataset.columns["class"].astype(int), dataset.train.labels)
    assert np.array_equal(dataset.columns["site"], load_dataset(source).columns["site"])


def test_images_of_flows_must_be_given() -> None:
    with pytest.raises(DataError, match="collabdm flows to-images"):
        dataset_for("images", {}, SCALES["cpu"])
