"""What is proposed of columns: ranges that say little of single rows, tails, levels."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from collabdm.data.tabular.proposing import proposed_schema
from collabdm.data.tabular.raw import RawTable
from collabdm.randomness import Stream


def proposed(values: Sequence[object] | np.ndarray, name: str = "x") -> tuple[dict[str, object], str]:
    """(what is not at its default, why it is left out)."""
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    raw = RawTable(source="t", columns={name: array, "other": np.array([0.0, 1.0] * (len(array) // 2)), "y": array})
    schema, left_out, _ = proposed_schema(raw, "y")
    column = next((c for c in schema.columns if c.name == name), None)
    return (column.model_dump(exclude_defaults=True) if column else {}), left_out.get(name, "")


def test_a_range_is_wider_than_the_rows_and_round() -> None:
    found, _ = proposed(np.array([0.0, 15.0] * 8 + list(range(16))))
    assert found == {"name": "x", "kind": "numeric", "low": 0.0, "high": 16.0, "integer": True}
    found, _ = proposed(np.array([-1.234, 7.77] * 9 + [3.2, np.nan]))
    assert (found["low"], found["high"], found["missing"]) == (-1.7, 8.3, True)


def test_a_heavy_tail_gets_asinh_in_units_of_the_usual_value() -> None:
    values = 100 * (1 / (1 - Stream(1, "tail").uniform(1000, 0, 0.9999)) - 1)
    found, _ = proposed(values)
    assert found["transform"] == "asinh"
    assert found["scale"] == 100.0 or found["scale"] == 200.0
    assert found["low"] == 0.0
    assert isinstance(found["high"], float)
    assert 2 * values.max() <= found["high"] <= 5 * values.max()


def test_levels_that_one_row_has_are_not_told() -> None:
    found, _ = proposed([f"level {n:02}" for n in range(30)] * 3 + ["Alice Smith", None])
    assert "Alice Smith" not in found["levels"]  # pyright: ignore
    assert len(found["levels"]) == 30  # pyright: ignore
    assert found["missing"] is True


def test_numbers_that_count_rows_are_left_out_by_name_alone() -> None:
    assert proposed(np.arange(20.0), "Unnamed: 0")[1] == "numbers the rows"
    assert proposed(np.arange(20.0), "duration")[1] == ""


@pytest.mark.parametrize(
    "date",
    [
        "2024-01-{:02}",
        "{:02}.01.2024",
        "{}/1/24",
        "2024-01-{:02}T07:05:00Z",
        "2024-01-{:02} 9:12:55.250+02:00",
        "{}/1/2024 9:12 AM",
        "{} Jan 2024",
        "07:{:02}",
    ],
)
def test_dates_and_times_are_left_out_however_few_they_are(date: str) -> None:
    texts = [date.format(1 + day % 9) for day in range(60)]
    wanted = f"holds dates or times, such as {texts[0]}; "
    for held in (texts, [*texts, None, "-"]):
        column, why = proposed(held)
        assert (column, why[: len(wanted)]) == ({}, wanted)


@pytest.mark.parametrize("text", ["10.0.0.{}", "1-{}", "v1.2.{}", "2024-01-{:02}-B"])
def test_what_only_looks_like_a_date_is_a_level(text: str) -> None:
    levels = sorted({text.format(1 + place % 9) for place in range(60)})
    column, _ = proposed([levels[place % 9] for place in range(60)])
    assert column["levels"] == tuple(levels)


def test_numbers_among_which_a_few_texts_are_do_not_become_texts_unseen() -> None:
    raw = RawTable(source="t", columns={"x": np.array([*map(str, range(9)), "<5"] * 6, object)})
    schema, _, remarks = proposed_schema(raw, "y")
    assert schema.columns[0].kind == "categorical"
    assert remarks == ["x is read as texts, for besides numbers it holds <5 (6 rows)"]


def test_a_number_without_end_is_told_with_its_row_and_no_range_has_it() -> None:
    values = np.array([*range(50), math.inf, -math.inf], float)
    schema, _, remarks = proposed_schema(RawTable(source="t.csv", columns={"x": values}), "y")
    assert (schema.columns[0].low, schema.columns[0].high) == (0, 52)
    assert remarks == ["x holds 2 infinite values (the first: t.csv, row 51), which are clipped to its range"]


def test_the_row_of_the_cell_that_costs_a_column_is_named() -> None:
    raw = RawTable(
        source="t.csv", columns={"x": np.array([*map(str, range(99)), "oops"], object), "z": np.arange(100.0)}
    )
    _, left_out, _ = proposed_schema(raw, "y")
    assert left_out == {"x": "holds numbers, and 1 cells that are none, such as oops (t.csv, row 100)"}
