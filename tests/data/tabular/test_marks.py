"""Cells that say that a value is missing: read so, told, and never a class."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from collabdm.data import load_table
from collabdm.data.tabular.column import Column
from collabdm.data.tabular.marks import of_no_class, of_no_number, stands_for_nothing
from collabdm.data.tabular.reader import read_tables
from collabdm.data.tabular.schema import TableSchema, schema_bytes
from collabdm.errors import DataError, DataWarning


def table(folder: Path, cells: list[str], column: str = "x", labels: list[str] | None = None) -> str:
    labels = labels or ["a", "b"] * (len(cells) // 2)
    lines = [f"{cell},{place % 3},{label}" for place, (cell, label) in enumerate(zip(cells, labels, strict=True))]
    (folder / "t.csv").write_text("\n".join([f"{column},n,kind", *lines]) + "\n")
    return str(folder / "t.csv")


@pytest.mark.parametrize("mark", sorted(STR_NA_VALUES))
def test_all_that_pandas_takes_for_missing_is(mark: str) -> None:
    assert stands_for_nothing(mark)


@pytest.mark.parametrize("mark", ["(empty)", "(null)", "missing", "\\N", "#N/A", "?", "Missing", "#DIV/0!", "<NULL>"])
def test_marks_are_missing_in_any_column_and_told(tmp_path: Path, mark: str) -> None:
    for cells, filled in ((["1", "2", "3", "7"], 2), (["tcp", "udp", "tcp", "udp"], 0)):
        source = table(tmp_path, [*cells, mark, mark])
        with pytest.warns(DataWarning) as told:
            found = read_tables(source, ("train",), label="kind").train
        assert np.isnan(found.values[:, 0]).tolist() == [False] * 4 + [True] * 2, filled
        assert any(f"2 x {mark} in x" in str(one.message) for one in told)


@pytest.mark.parametrize("mark", ["-", ".", "unknown", "\u2014"])
def test_some_marks_are_missing_among_numbers_and_a_level_among_texts(tmp_path: Path, mark: str) -> None:
    assert of_no_number(mark)
    with pytest.warns(DataWarning) as told:
        numbers = read_tables(table(tmp_path, ["1", "2", "3", "7", mark, mark]), ("train",), label="kind")
    assert np.isnan(numbers.train.values[4:, 0]).all()
    assert any(f"2 x {mark} in x" in str(one.message) for one in told)
    with pytest.warns(DataWarning):
        texts = read_tables(table(tmp_path, ["tcp", "udp", "tcp", "udp", mark, mark]), ("train",), label="kind")
    assert mark in texts.preset.declared["columns"][0]["levels"]  # pyright: ignore
    assert not np.isnan(texts.train.values).any()


@pytest.mark.parametrize("mark", ["(empty)", "-", "NA", "missing", "?"])
def test_a_mark_is_no_class_unless_the_schema_lists_it(tmp_path: Path, mark: str) -> None:
    assert of_no_class(mark)
    source = table(tmp_path, ["1", "2", "3", "4"], labels=["a", mark, "b", mark])
    with pytest.raises(DataError) as raised:
        read_tables(source, ("train",), label="kind")
    assert (
        f"row 2, label column kind: got {mark}, which stands for a missing value, and a label is missing in 1"
        in str(raised.value)
    )
    columns = (Column(name="x", kind="numeric", low=0, high=9), Column(name="n", kind="numeric", low=0, high=2))
    schema = TableSchema(label="kind", classes=("a", "b", mark), columns=columns)
    (tmp_path / "s.json").write_bytes(schema_bytes(schema))
    found = read_tables(source, ("train",), schema=str(tmp_path / "s.json")).train
    assert found.labels.tolist() == [0, 2, 1, 2]


def test_a_level_that_the_schema_declares_is_one_whatever_it_may_stand_for(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(
        '{"label": "kind", "columns": [{"name": "x", "kind": "categorical", "levels": ["low", "none"]}]}'
    )
    source = table(tmp_path, ["low", "none", "(empty)", "none"])
    with pytest.warns(DataWarning, match=r"1 x \(empty\) in x"):
        found = read_tables(source, ("train",), schema=str(tmp_path / "s.json")).train
    assert found.values[:, 0].tolist()[:2] == [0, 1]
    assert np.isnan(found.values[2, 0])


def test_an_empty_cell_needs_no_word() -> None:
    frame = pd.DataFrame({"x": ["tcp", "udp", None, ""], "kind": ["a", "b", "a", "b"]})
    with pytest.warns(DataWarning) as told:
        load_table(frame, label="kind")
    assert not any("marks" in str(one.message) for one in told)
