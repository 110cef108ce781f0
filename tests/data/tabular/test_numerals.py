"""Numbers in cells: a column is read in one form, and what has none is named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data.tabular.numerals import how_written, numbers_in, unit_of

# (cells, numbers with None for what is none, unit, words that are told)
READ = [
    (["12 %", "3.5%", "-1 %"], [12, 3.5, -1], "%", "in %"),
    (["12 percent", "7 pct."], [12, 7], "%", "in %"),
    (["$1,200.50", "-$4", "($3)"], [1200.5, -4, -3], "$", "below 0"),
    (["1 200,5 EUR", "3 EUR"], [1200.5, 3], "EUR", "the decimal point"),
    (["1\u00a0200,5 €", "1.300,25 €"], [1200.5, 1300.25], "€", "the decimal point"),
    (["CHF 1'200.50", "CHF 3"], [1200.5, 3], "CHF", "thousands"),
    (["£12,34,567", "£3"], [1234567, 3], "£", "thousands"),
    (["12 kr.", "13 kr"], [12, 13], "kr", "in kr"),
    (["1,200", "3"], [1200, 3], None, "thousands"),
    (["0,125", "1,250"], [0.125, 1.25], None, "the decimal point"),
    (["1.200,50", "7"], [1200.5, 7], None, "the decimal point"),
    (["12 345", "6"], [12345, 6], None, "thousands"),
    (["\u22125", "2e3", ".5"], [-5, 2000, 0.5], None, ""),
    (["inf", "-Infinity", "1"], [math.inf, -math.inf, 1], None, ""),
    (["1.5", "2,5"], [1.5, None], None, ""),
    (["1_000", "3"], [None, 3], None, ""),
    (["192.168.100.103", "192.168.100.150"], [None, None], None, ""),
    (["eth0", "eth1", "php7", "Q1", "v1.2", "5G", "2020-01-01", "12:30", "<5"], [None] * 9, None, ""),
]


@pytest.mark.parametrize(("cells", "expected", "unit", "words"), READ)
def test_a_column_is_read_in_one_form(
    cells: list[str], expected: list[float | None], unit: str | None, words: str
) -> None:
    found = numbers_in(np.array([*cells, None], dtype=object))
    assert [None if math.isnan(value) else value for value in found.values.tolist()] == [*expected, None]
    assert found.wrong.tolist() == [value is None for value in expected] + [False]
    assert found.unit == unit
    told = how_written("x", found)
    assert words in told if words else not told


def test_two_units_are_counted_and_are_no_unit() -> None:
    found = numbers_in(np.array(["$5", "$6", "€7", "8"], dtype=object))
    assert (found.units, found.unit) == ({"$": 2, "€": 1, "": 1}, None)
    assert [unit_of(cell) for cell in ("$5", "8", "tcp")] == ["$", "", ""]


@given(st.lists(st.floats(-1e12, 1e12, allow_nan=False), min_size=1, max_size=5), st.sampled_from(["", " %", " EUR"]))
def test_what_is_printed_by_either_custom_comes_back(values: list[float], unit: str) -> None:
    rounded = [round(value, 2) for value in values]
    english = [f"{value:,.2f}{unit}" for value in rounded]
    continental = [text.translate(str.maketrans(",.", ".,")) for text in english]
    for texts in (english, continental):
        found = numbers_in(np.array(texts, dtype=object))
        assert found.values.tolist() == rounded
        assert not found.wrong.any()
