"""Labels of strangers among the classes of a data set."""

import numpy as np
import pytest

from collabdm.errors import DataError
from collabdm.scoring.labels import class_positions, hard_labels, in_order, probabilities

CLASSES = ("airplane", "T - shirt / top", "cat")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat", "airplane"], [2, 0]),
        (["Cat", "AIRPLANE "], [2, 0]),
        (["t-shirt_top", "cat"], [1, 2]),
        (["00-airplane", "01-T_-_shirt_top", "02-cat"], [0, 1, 2]),
        (["00002", "00000"], [2, 0]),
        (["1"], [1]),
    ],
)
def test_classes_are_found_by_name_letters_or_number(names: list[str], expected: list[int]) -> None:
    positions, _ = class_positions("a", names, CLASSES)
    assert [positions[name] for name in names] == expected


def test_names_that_are_digits_are_names_first() -> None:
    positions, _ = class_positions("a", ["3", "1"], ("3", "2", "1", "0"))
    assert positions == {"3": 0, "1": 2}


@pytest.mark.parametrize("names", [["dog"], ["cat", "3"], ["0", "00"], ["cat", "Cat"]])
def test_classes_that_are_none_are_refused(names: list[str]) -> None:
    with pytest.raises(DataError, match=r"classes of a: got .*; expected the classes of the data set \(airplane"):
        class_positions("a", names, CLASSES)


def test_hard_labels_in_every_form() -> None:
    for labels in ([2, 0], [[2], [0]], [2.0, 0.0], ["cat", "airplane"], [b"cat", b"airplane"], np.eye(3)[[2, 0]]):
        np.testing.assert_array_equal(hard_labels("a", np.array(labels), CLASSES)[0], [2, 0])
    for wrong, mentions in (([3, 0], "got 3; expected 0 to 2"), ([-1], "0 or above"), ([0.5], "whole number")):
        with pytest.raises(DataError, match=mentions):
            hard_labels("a", np.array(wrong), CLASSES)
    with pytest.raises(DataError, match="one class per image"):
        hard_labels("a", np.zeros((2, 2, 2)), CLASSES)


def test_without_labels_a_multiple_of_the_classes_is_taken_in_order() -> None:
    np.testing.assert_array_equal(in_order("a", 6, CLASSES)[0], [0, 0, 1, 1, 2, 2])
    for count in (0, 7):
        with pytest.raises(DataError, match="a multiple of 3 images"):
            in_order("a", count, CLASSES)


def test_soft_labels_are_probabilities_or_logits() -> None:
    rows = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    found, told = probabilities("a", rows, 2, 3)
    np.testing.assert_allclose(found, rows)
    assert told == "soft labels are probabilities"
    short = np.array([[0.2002, 0.3008, 0.5039]])
    np.testing.assert_allclose(probabilities("a", short, 1, 3)[0], short / short.sum(), rtol=1e-6)
    logits = np.array([[2.0, 0.0, -1.0], [900.0, 900.0, -900.0]])
    found, told = probabilities("a", logits, 2, 3)
    sums = np.exp(logits[0]).sum()
    np.testing.assert_allclose(found, [np.exp(logits[0]) / sums, [0.5, 0.5, 0.0]], rtol=1e-6)
    assert "softmax" in told
    for wrong, mentions in ((rows[:1], r"expected \[2, 3\]"), (rows * np.nan, "NaN or infinity")):
        with pytest.raises(DataError, match=mentions):
            probabilities("a", wrong, 2, 3)
