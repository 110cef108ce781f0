import warnings

import numpy as np
import pytest

from collabdm.data import Samples, partition_indices
from collabdm.data.site_names import site_names, tell_alike
from collabdm.errors import DataError, DataWarning
from collabdm.randomness import Stream


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["north", "St. Mary / North", "a,b"], ["north", "St. Mary / North", "a,b"]),
        ([True, False], ["True", "False"]),
        ([1.0, 2.5], ["1.0", "2.5"]),
        (np.array([0.1, 2], np.float32), ["0.1", "2.0"]),
        ([3, 12], ["3", "12"]),
        ([b"north", "Zürich".encode()], ["north", "Zürich"]),
        (["..", ".", "con"], ["..", ".", "con"]),
        (np.array(["2024-01-31"], "datetime64[D]"), ["2024-01-31"]),
    ],
)
def test_a_value_is_a_name_as_it_is_written(values: list[object], names: list[str]) -> None:
    found = site_names(np.array(values), column="site")
    assert found.tolist() == names
    assert site_names(found, column="site").tolist() == names


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, np.nan, 2.0, np.nan]),
        np.array(["a", "", "b", " "]),
        np.array(["a", None, "b", None], dtype=object),
        np.array(["a", "nan", "b", "NULL"]),
        np.array(["2024-01-31", "NaT", "2024-02-01", "NaT"], "datetime64[D]"),
    ],
)
def test_rows_without_a_site_are_counted_or_get_the_client_that_is_named(values: np.ndarray) -> None:
    expected = r"column ward: got no site \(.*\) in 2 of 4 rows \(1, 3, counted from 0\); .*partition.missing=unknown"
    with pytest.raises(DataError, match=expected):
        site_names(values, column="ward")
    names = site_names(values, column="ward", missing="unknown").tolist()
    assert [names[1], names[3]] == ["unknown"] * 2
    assert "unknown" not in (names[0], names[2])


@pytest.mark.parametrize(
    ("name", "mentions"),
    [
        ("north\nwing", r"'north.nwing' in 1 of 3 rows \(1, counted from 0\); .*on one line; fix: rewrite it"),
        ("west\ttower", r"'west.ttower' in 1 of 3 rows"),
        ("\x1b[31mred", "'.x1b.*red'"),
        ("h" * 300, r"'h{40}...' of 300 characters in 1 of 3 rows; .*at most 200 characters.*fix: shorten it"),
    ],
)
def test_what_is_no_name_is_refused_with_its_column_and_rows(name: str, mentions: str) -> None:
    mentions = mentions.replace("rows; ", r"rows \(1, counted from 0\); ")
    with pytest.raises(DataError, match=f"column ward: got {mentions}"):
        site_names(np.array(["east", name, "west"]), column="ward")


def test_blanks_round_names_are_taken_away_and_told() -> None:
    with pytest.warns(DataWarning, match="column ward: blanks taken away round the site in 2 rows"):
        found = site_names(np.array(["south", "south ", " east"]), column="ward")
    assert found.tolist() == ["south", "south", "east"]


def test_names_written_alike_stay_apart_and_are_told() -> None:
    with pytest.warns(
        DataWarning, match="column ward has 'NORTH' and 'North' and 'north': each is a client of its own"
    ):
        tell_alike(["north", "North", "NORTH", "north", "west"], column="ward")
    with pytest.warns(DataWarning, match="'a b' and 'a  b'|'a  b' and 'a b'"):
        tell_alike(["a  b", "a b"], column="ward")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell_alike(["north", "south", "north"], column="ward")


def test_a_partition_by_column_makes_no_client_of_nothing() -> None:
    samples = Samples(values=np.zeros((3, 1, 4, 4), np.uint8), labels=np.zeros(3, np.int64), classes=("a",))
    with pytest.raises(DataError, match="no site"):
        partition_indices(
            samples,
            kind="by-column",
            clients=5,
            beta=1,
            ipc=1,
            stream=Stream(0),
            column_values=np.array([1, np.nan, 2]),
        )
