"""Cells in the form that a schema declares: units, and two ways to write one thing."""

from pathlib import Path

import pytest

from collabdm.data.tabular.column import Column
from collabdm.data.tabular.reader import read_tables
from collabdm.errors import DataError, DataWarning
from collabdm.tables.modality import Tables

PRICES = Tables(label="kind", columns=(Column(name="price", kind="numeric", low=0, high=5000, unit="$"),))
NUMBERS = Tables(label="kind", columns=(Column(name="price", kind="numeric", low=0, high=5000),))


def table(folder: Path, *cells: str) -> str:
    lines = [f'"{cell}",{"ab"[place % 2]}' for place, cell in enumerate(cells)]
    (folder / "t.csv").write_text("\n".join(["price,kind", *lines]) + "\n")
    return str(folder / "t.csv")


def read(source: str, sample: Tables | None = None) -> tuple[list[float], str, dict[str, object]]:
    with pytest.warns(DataWarning) as told:
        found = read_tables(source, ("train",), label="kind", sample=sample)
    columns: list[dict[str, object]] = found.preset.declared["columns"]  # pyright: ignore
    return found.train.values[:, 0].tolist(), " | ".join(str(one.message) for one in told), columns[0]


def test_a_unit_that_every_value_has_is_read_told_and_proposed(tmp_path: Path) -> None:
    values, told, column = read(table(tmp_path, "$1,200.50", "$3", "$7", "", "$9"))
    assert values[:3] == [1200.5, 3, 7]
    assert "price is read as numbers in $, commas in price are read as thousands" in told
    assert (column["kind"], column["unit"]) == ("numeric", "$")
    assert read(table(tmp_path, "$1,200.50", "$3"), PRICES)[1].count("in $") == 1


def test_values_of_several_forms_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("price,n,kind\n$5,1,a\n$6,2,b\n€7,1,a\n8,2,b\n")
    with pytest.warns(DataWarning, match=r"price \(holds numbers of several forms \(2 with \$, 1 with €, 1 without\)"):
        read_tables(str(tmp_path / "t.csv"), ("train",), label="kind")


@pytest.mark.parametrize(
    ("sample", "cells", "words"),
    [
        (PRICES, ["$5", "€6"], "row 2, column price: got '€6'; expected a number in $, as in other rows"),
        (PRICES, ["$5", "6"], "row 2, column price: got '6'; expected a number in $"),
        (NUMBERS, ["5", "6 %"], "row 2, column price: got '6 %'; expected a number without a unit"),
        (NUMBERS, ["5 %", "6 %"], '"unit": "%"'),
        (PRICES, ["$5", "free"], "row 2, column price: got 'free'; expected a number"),
    ],
)
def test_a_cell_of_another_form_than_declared_is_refused(
    tmp_path: Path, sample: Tables, cells: list[str], words: str
) -> None:
    with pytest.raises(DataError) as raised:
        read_tables(table(tmp_path, *cells), ("train",), sample=sample)
    assert words in str(raised.value)


def test_numbers_without_the_declared_unit_are_read_and_told(tmp_path: Path) -> None:
    values, told, _ = read(table(tmp_path, "5", "6"), PRICES)
    assert values == [5, 6]
    assert "read as if they had it: $ in price" in told


def test_levels_that_may_be_one_are_told(tmp_path: Path) -> None:
    _, told, column = read(table(tmp_path, "TCP", "tcp", "udp", "udp", "TCP", "no-one", "no_one"))
    assert "levels of price that differ in their spelling only are kept apart: " in told
    assert "TCP (2), tcp (1)" in told
    assert "no-one (1), no_one (1)" in told
    assert len(column["levels"]) == 5  # pyright: ignore
