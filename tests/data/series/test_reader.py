"""From a source's name to series: which files are which part, what is declared, what is refused."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from collabdm.data import load_dataset, load_samples
from collabdm.data.series import is_series_source
from collabdm.data.series.bundled import BUNDLED
from collabdm.errors import DataError
from data.series.conftest import HEAD, tone, write_wave

NAN = np.nan


def test_a_pair_is_read_by_either_file_and_by_its_folder(ts_pair: Path) -> None:
    for source in (ts_pair / "Toy_TRAIN.ts", ts_pair / "Toy_TEST.ts", ts_pair):
        data = load_dataset(str(source), modality="series")
        assert data.train.classes == ("walk", "run")
        assert data.train.labels.tolist() == [0, 1, 0]
        expected = [[[1, 2, 3], [4, 5, 6]], [[0.5, NAN, NAN], [NAN, -100, NAN]], [[7, 8, 9], [1, 1, 1]]]
        np.testing.assert_array_equal(data.train.values, np.array(expected, np.float32))
        assert (data.test.labels.tolist(), data.test.shape) == ([1], (2, 4))
        assert data.preset.sample == {"channels": 2, "length": 3}
        assert data.reading == {"read": {"train": 3, "test": 1}, "passed_over": {}}


def test_one_file_without_a_part_is_the_split_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "site.ts"
    path.write_text(HEAD + "1,2:1,2:run\n")
    for split in ("train", "test"):
        data = load_dataset(str(path), splits=(split,), modality="series")
        assert (len(data.train), len(data.test)) == ((1, 0) if split == "train" else (0, 1))
    with pytest.raises(DataError, match=r"splits of .*site\.ts: got train; expected test; fix: add a test part"):
        load_dataset(str(path), modality="series")


def test_two_files_of_one_part_are_refused(ts_pair: Path) -> None:
    (ts_pair / "Other_TRAIN.ts").write_text(HEAD)
    with pytest.raises(DataError, match=r"got Other_TRAIN\.ts and Toy_TRAIN\.ts; expected one \.ts file for each part"):
        load_samples(str(ts_pair), modality="series")


def test_an_unknown_class_at_test_time_is_named(ts_pair: Path) -> None:
    for part, label in (("TRAIN", "walk"), ("TEST", "swim")):
        (ts_pair / f"Toy_{part}.ts").write_text(f"@classLabel true {label}\n@data\n1,2:1,2:{label}\n")
    with pytest.raises(DataError, match=r"label of .*Toy_TEST\.ts, line 3: got swim; expected one of walk;"):
        load_dataset(str(ts_pair), modality="series")


def test_parts_of_other_channels_are_refused(ts_pair: Path) -> None:
    (ts_pair / "Toy_TEST.ts").write_text(HEAD + "1,2:run\n")
    with pytest.raises(DataError, match=r"channels of .*\(test\): got 1; expected 2"):
        load_dataset(str(ts_pair), modality="series")


@pytest.mark.parametrize("source", ["nowhere.ts", "nowhere", "x.csv", "nowhere/at/all"])
def test_what_is_not_there_says_what_could_be(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n")
    got = "a file of another kind" if source == "x.csv" else "no such file or folder"
    with pytest.raises(DataError, match=f"series {source}: got {got}; expected series:NAME, a .ts file"):
        load_samples(source, modality="series")


def test_bundled_sets_are_read_from_where_aeon_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "aeon" / "datasets" / "data" / "BasicMotions"
    folder.mkdir(parents=True)
    # Nothing of aeon is imported: this would fail.
    (tmp_path / "aeon" / "__init__.py").write_text("raise RuntimeError")
    for part in ("TRAIN", "TEST"):
        (folder / f"BasicMotions_{part}.ts").write_text(HEAD + "1,2:1,2:run\n3,4:3,4:walk\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "aeon", raising=False)
    data = load_dataset("series:basic_motions", modality="series")
    assert (data.name, len(data.train), len(data.test)) == ("basic_motions", 2, 2)
    with pytest.raises(DataError, match=r"data set series:osu_leaf: got no .*OSULeaf_TRAIN\.ts"):
        load_samples("series:osu_leaf", modality="series")


def test_without_aeon_its_sets_say_how_to_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collabdm.data.series.bundled.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'got no package aeon; .* fix: pip install "collabdm\[series\]"'):
        load_samples("series:basic_motions", modality="series")
    with pytest.raises(DataError, match="data set: got series:typo; expected one of series:digits, series:acsf1"):
        load_samples("series:typo", modality="series")
    assert len(BUNDLED) == 8


def test_digits_are_series_of_their_rows_in_the_split_of_the_images() -> None:
    series, images = load_dataset("series:digits"), load_dataset("digits")
    assert (series.train.shape, series.preset.classes) == ((8, 8), images.preset.classes)
    for one, other in ((series.train, images.train), (series.test, images.test)):
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(np.rint(one.values * 255 / 16), other.values[:, 0])


def test_what_can_only_be_series_is_known(ts_pair: Path, tmp_path: Path) -> None:
    assert is_series_source("series:basic_motions")
    assert is_series_source(str(ts_pair))
    assert is_series_source("anything.ts")
    for other in ("digits", "cifar10", "owner/name", "x.npz", "x.csv", "nowhere.parquet"):
        assert not is_series_source(other)
    sounds = tmp_path / "sounds"
    (sounds / "cat").mkdir(parents=True)
    assert not is_series_source(str(sounds))
    write_wave(sounds / "cat" / "1.wav", tone(440, 0.1))
    assert is_series_source(str(sounds))


def test_an_empty_folder_says_what_could_be_in_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"series in .*empty: got no file; expected a pair"):
        load_samples(str(tmp_path / "empty"), modality="series")


def in_parquet(folder: Path, series: list[list[float]], labels: list[str]) -> str:
    """Two files of one part: what is wrong is told by the second one's own row."""
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate((slice(0, 2), slice(2, None))):
        table = pa.table({"x": series[rows], "label": labels[rows]})
        parquet.write_table(table, folder / f"train-{number}.parquet")
    return f"{folder / 'train-1.parquet'}, row 1"


def in_npz(folder: Path, series: list[list[float]], labels: list[str]) -> str:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "a.npz", x_train=np.array(series, np.float64), y_train=np.array(labels))
    return f"{folder / 'a.npz'}, row 3 of x_train"


def in_ts(folder: Path, series: list[list[float]], labels: list[str]) -> str:
    folder.mkdir(exist_ok=True)
    lines = [",".join(map(str, one)) + f":{label}" for one, label in zip(series, labels, strict=True)]
    (folder / "a_TRAIN.ts").write_text("\n".join(["@classLabel true a b", "@data", *lines, ""]))
    return f"{folder / 'a_TRAIN.ts'}, line 6"


WRITERS = {"parquet": in_parquet, "npz": in_npz, "ts": in_ts}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    ("last", "label", "got"),
    [
        ([1.0, math.inf], "a", "got infinity"),
        ([1.0, 1e300], "a", "got infinity, or a number too large for 32 bits"),
        ([math.nan, math.nan], "a", "got nothing but NaN"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_the_file_and_the_row(
    tmp_path: Path, form: str, last: list[float], label: str, got: str
) -> None:
    folder = tmp_path / "data"
    place = WRITERS[form](folder, [[1.0, 2.0], [2.0, 3.0], [3.0, 1.0], last], ["a", "b", "b", label])
    source = str(folder / "a.npz") if form == "npz" else str(folder)
    with pytest.raises(DataError) as raised:
        load_samples(source, modality="series")
    assert f"series of {place}: {got}" in str(raised.value)


@pytest.mark.parametrize("form", WRITERS)
def test_only_the_part_that_is_asked_for_is_read(tmp_path: Path, form: str) -> None:
    """The other one would be refused."""
    good, bad = [[1.0, 2.0], [2.0, 3.0], [3.0, 1.0], [4.0, 4.0]], [[math.inf, 1.0]] * 4
    folder = tmp_path / "data"
    WRITERS[form](folder, bad, ["a", "b", "b", "a"])
    if form == "npz":
        with np.load(folder / "a.npz") as train:
            own = dict(train)
        np.savez(folder / "a.npz", **own, x_test=np.array(good, np.float32), y_test=np.array(["a", "b", "b", "a"]))
    else:
        WRITERS[form](tmp_path / "other", good, ["a", "b", "b", "a"])
        for file in sorted((tmp_path / "other").iterdir()):
            file.rename(folder / re.sub("train", "test", file.name, flags=re.IGNORECASE))
    source = str(folder / "a.npz") if form == "npz" else str(folder)
    found = load_dataset(source, splits=("test",), modality="series")
    assert found.test.values[:, 0].tolist() == good
    with pytest.raises(DataError):
        load_dataset(source, splits=("train", "test"), modality="series")
