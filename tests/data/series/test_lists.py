"""Series in columns of lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from collabdm.data import load_dataset, load_samples
from collabdm.data.series import is_series_source
from collabdm.errors import DataError

NAN = np.nan


def written(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pa.table(columns), path)
    return path


def test_a_list_of_lists_is_channels_and_further_columns_are_columns(tmp_path: Path) -> None:
    path = written(
        tmp_path / "walks.parquet",
        signal=[[[1, 2], [3, None]], [[5.5], [6]]],
        label=["b", "a"],
        person=[3, None],
    )
    assert is_series_source(str(path))
    data = load_dataset(str(path), splits=("train",), modality="series")
    np.testing.assert_array_equal(data.train.values, np.array([[[1, 2], [3, NAN]], [[5.5, NAN], [6, NAN]]], np.float32))
    assert (data.train.classes, data.train.labels.tolist()) == (("a", "b"), [1, 0])
    assert data.columns["person"].tolist() == ["3", ""]


def test_several_columns_of_lists_are_channels_and_file_names_are_parts(tmp_path: Path) -> None:
    for name, count in (("train-0", 3), ("train-1", 1), ("test", 2)):
        lists = [[1.0, 2.0, 3.0]] * count
        written(
            tmp_path / "set" / f"{name}.parquet", ax=lists, ay=lists, activity_class=["x"] * count, label=[4] * count
        )
    data = load_dataset(str(tmp_path / "set"), modality="series")
    assert (data.train.values.shape, len(data.test), data.train.classes) == ((4, 2, 3), 2, ("4",))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"label": ["a"], "x": [1.0]}, "columns of .*: got label, x; expected a column of lists of numbers"),
        ({"label": ["a"], "x": [[1.0]], "z": [[[1.0]]]}, r"got x \(lists\), z \(lists of lists\)"),
        ({"x": [[1.0]]}, "label"),
        ({"label": [None, "a"], "x": [[1.0], [2.0]]}, "label of .*, row 0: got nothing; expected a class"),
        ({"label": ["a", "b"], "x": [[1.0], []]}, "series of .*, row 1: got an empty list"),
        ({"label": ["a", "b"], "x": [[1.0], None]}, "series of .*, row 1: got an empty list"),
        ({"label": ["a", "b"], "x": [[[1.0], [2.0]], [[1.0]]]}, "channels of .*, row 1: got 1; expected 2"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, columns: dict[str, Any], expected: str) -> None:
    path = written(tmp_path / "x.parquet", **columns)
    with pytest.raises(DataError, match=expected) as refused:
        load_samples(str(path), modality="series")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError):
        load_samples(str(tmp_path / "x.parquet"), modality="series")


def test_class_names_in_the_files_schema_are_used(tmp_path: Path) -> None:
    import datasets

    label = datasets.ClassLabel(names=["sit", "walk"])
    table = datasets.Dataset.from_dict({"x": [[1.0, 2.0], [3.0, 4.0]], "label": [1, 1]}).cast_column("label", label)
    table.to_parquet(tmp_path / "x.parquet")
    samples = load_samples(str(tmp_path / "x.parquet"), modality="series")
    assert (samples.classes, samples.labels.tolist()) == (("sit", "walk"), [1, 1])
