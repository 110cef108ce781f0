"""Counts and words agree."""

from collabdm.counting import counted


def test_one_is_singular_and_thousands_are_parted() -> None:
    assert [counted(n, "epoch") for n in (0, 1, 2, 1200)] == ["0 epochs", "1 epoch", "2 epochs", "1,200 epochs"]
