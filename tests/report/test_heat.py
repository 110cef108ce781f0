"""Shaded tables against counting by hand."""

import base64
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from collabdm.report.heat import confusion_heat, partition_heat, share_heat, taken_for

COUNTS = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 50), min_size=n, max_size=n), min_size=n, max_size=n)
)


def names(count: int) -> list[str]:
    return [f"class {y}" for y in range(count)]


@given(COUNTS)
def test_confusion_in_percent_of_the_row(rows: list[list[int]]) -> None:
    heat = confusion_heat(np.array(rows), names(len(rows)))
    for row, line in zip(rows, heat.cells, strict=True):
        for count, cell in zip(row, line, strict=True):
            percent = 100 * count / sum(row) if sum(row) else 0
            assert cell.text == (f"{percent:.0f}" if percent >= 0.5 else "")
            assert abs(cell.strength - 10 * percent**0.5) <= 1


@given(COUNTS)
def test_the_commonest_mistakes(rows: list[list[int]]) -> None:
    found = taken_for(np.array(rows), names(len(rows)), 3)
    shares = sorted(
        (count / sum(row) for y, row in enumerate(rows) for x, count in enumerate(row) if x != y and count),
        reverse=True,
    )
    assert [share for _, _, share in found] == [f"{100 * value:.0f}\u00a0%" for value in shares[:3]]
    assert all(held != answer for held, answer, _ in found)


def test_holdings_and_shares() -> None:
    heat = partition_heat(np.array([[0, 1234], [5, 0]]), ["a", "b"], ["x", "y"])
    assert [[cell.text for cell in line] for line in heat.cells] == [["", "1\u202f234"], ["5", ""]]
    assert heat.cells[0][1].strength == 100
    assert heat.cells[0][0].strength == 0
    assert 0 < heat.cells[1][0].strength < 10
    heat = share_heat([[None, 0.254]], ["a"], ["x", "y"])
    assert [(cell.text, cell.strength) for cell in heat.cells[0]] == [("", 0), ("25", 26)]


def test_what_is_too_large_for_numbers_becomes_a_picture() -> None:
    counts = np.diag(np.arange(1, 41))
    heat = confusion_heat(counts, names(40))
    assert heat.cells == ()
    image = Image.open(io.BytesIO(base64.b64decode(heat.picture.removeprefix("data:image/png;base64,"))))
    alpha = np.asarray(image)[..., 3]
    assert np.array_equal(alpha, 255 * np.eye(40))
