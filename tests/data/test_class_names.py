"""Names of classes that cannot be shown are refused where the data are read, in a line that shows them safely."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collabdm.data import load_dataset
from collabdm.data.class_names import check_class_names, unreadable, written_alike
from collabdm.errors import DataError, DataWarning

BAD = {
    "a\x1b[2J": "U+001B (a control character)",
    "Web Attack \x96 XSS": "U+0096 (a control character)",
    "caf\udce9": "U+DCE9 (a byte that is not UTF-8)",
    "a\u202eb": "U+202E (RIGHT-TO-LEFT OVERRIDE)",
    "a\nb": "U+000A (a control character)",
    "": "a name that is not blank",
    " \u00a0": "a name that is not blank",
}


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_shown_is_refused_with_its_source(name: str) -> None:
    assert BAD[name] in str(unreadable(name))
    with pytest.raises(DataError, match=r"^class name of x: got ") as raised:
        check_class_names("x", ["fine", name])
    told = str(raised.value)
    assert BAD[name] in told
    assert told.isprintable()
    assert "; fix: rename that class in the data" in told


def test_names_of_every_script_are_fine() -> None:
    check_class_names("x", ["T-shirt/top", "می\u200cرود", "grade\u00a0I", "\U0001f468\u200d\U0001f469", "café"])


def test_an_archive_with_such_names_is_refused_as_it_is_read(tmp_path: Path) -> None:
    arrays = {"x_train": np.full((4, 8, 8), 9, np.uint8), "y_train": np.array([0, 1, 0, 1])}
    for name in ("", "a\x1b[31m"):
        np.savez(tmp_path / "x.npz", allow_pickle=False, **arrays, classes=np.array([name, "b"]))
        with pytest.raises(DataError, match=r"class name of .*x\.npz"):
            load_dataset(str(tmp_path / "x.npz"), splits=("train",))


def test_a_folder_in_an_older_encoding_is_refused_as_it_is_read(tmp_path: Path) -> None:
    try:
        for name in (b"caf\xe9", b"tea"):
            os.makedirs(os.fsencode(tmp_path) + b"/data/train/" + name)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    for folder in (tmp_path / "data" / "train").iterdir():
        Image.fromarray(np.full((8, 8), 9, np.uint8)).save(folder / "0.png")
    with pytest.raises(DataError, match=r"not UTF-8\); fix: rename that class in the data .*convmv"):
        load_dataset(str(tmp_path / "data"), splits=("train",))


def test_names_that_may_be_meant_for_one() -> None:
    counts = {
        "Yes": 12,
        "yes": 3,
        "no": 9,
        "no-one": 1,
        "no one": 2,
        "A": 1,
        "A-": 1,
        "1": 4,
        "1.0": 5,
        "-1": 1,
        "10": 1,
    }
    assert written_alike(counts) == ["Yes (12), yes (3)", "no one (2), no-one (1)", "1 (4), 1.0 (5)"]


def test_classes_that_differ_in_capitals_are_told_with_their_counts_and_stay_two(tmp_path: Path) -> None:
    labels = np.array(["Yes", "yes", "no", "Yes"])
    np.savez(tmp_path / "series.npz", x=np.arange(12, dtype=np.float32).reshape(4, 3), y=labels)
    np.savez(tmp_path / "images.npz", x=np.arange(64, dtype=np.uint8).reshape(4, 4, 4), y=labels)
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n},{label}\n" for n, label in enumerate(labels)))
    for name, modality in (("series.npz", "series"), ("images.npz", "images"), ("t.csv", "tables")):
        with pytest.warns(DataWarning) as told:
            found = load_dataset(str(tmp_path / name), splits=("train",), modality=modality)
        assert any("kept apart: Yes (2), yes (1)" in str(one.message) for one in told)
        assert set(found.train.classes) == {"Yes", "yes", "no"}
