"""Which array of a stranger's file is what, by the names and shapes of the literature."""

from typing import Any

import numpy as np
import pytest

from collabdm.errors import DataError
from collabdm.scoring.parts import label_parts, parts_of

IMAGES = np.zeros((4, 3, 8, 8), np.float32)
LABELS = np.array([0, 1, 0, 1])
SOFT = np.full((4, 2), 0.5, np.float32)


@pytest.mark.parametrize(
    "tree",
    [
        {"images": IMAGES, "labels": LABELS},
        {"syn_images": IMAGES, "syn_labels": LABELS},
        {"image_syn": IMAGES, "label_syn": LABELS},
        {"x": IMAGES, "y": LABELS},
        {"x_train": IMAGES, "y_train": LABELS},
        {"data": IMAGES, "targets": LABELS},
        {"Images_Best": IMAGES, "hard_labels": LABELS},
        {"data": [[IMAGES, LABELS]]},
        {"data": list(IMAGES), "labels": [0, 1, 0, 1]},
        {"arr_0": IMAGES, "arr_1": LABELS},
        [IMAGES, LABELS],
        [LABELS, IMAGES],
        [{"images": IMAGES, "labels": LABELS}],
    ],
)
def test_images_and_labels_are_found(tree: Any) -> None:
    found = parts_of("a.pt", tree)
    assert found.images is not None
    assert found.images.shape == IMAGES.shape
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.soft is None
    assert found.notes == ()


@pytest.mark.parametrize(
    "tree",
    [
        {"syn_images": IMAGES, "soft_labels": SOFT},
        {"images": IMAGES, "labels": SOFT},
        {"images": IMAGES, "targets": SOFT},
        {"images": IMAGES, "logits": SOFT},
        [IMAGES, SOFT],
    ],
)
def test_rows_of_several_numbers_are_soft_labels(tree: Any) -> None:
    found = parts_of("a.pt", tree)
    assert found.labels is None
    assert found.soft is SOFT


def test_rows_with_a_single_one_are_hard_labels() -> None:
    hot = np.eye(2)[LABELS]
    assert parts_of("a.pt", {"images": IMAGES, "labels": hot}).labels is hot
    both = parts_of("a.npz", {"x": IMAGES, "y": LABELS, "targets": SOFT, "classes": np.array(["a", "b"])})
    assert both.labels is LABELS
    assert both.soft is SOFT
    assert both.classes is not None


def test_of_several_sets_the_first_is_taken_and_that_is_told() -> None:
    found = parts_of("a.pt", {"data": [[IMAGES, LABELS], [IMAGES + 1, LABELS]], "accs": {"convnet": 0.5}})
    assert found.images is IMAGES
    assert found.notes == ("2 sets in it, of which the first is scored", "left unread: accs")


def test_an_array_alone_is_the_images_and_lists_of_images_are_stacked() -> None:
    assert parts_of("a.pt", IMAGES).images is IMAGES
    stacked = parts_of("a.pt", list(IMAGES)).images
    assert stacked is not None
    np.testing.assert_array_equal(stacked, IMAGES)


@pytest.mark.parametrize(
    ("tree", "mentions"),
    [
        ({"weights": IMAGES}, "got weights; expected an array of images"),
        ({}, "an empty dictionary"),
        (3, "neither tensors nor arrays"),
        ([], "neither tensors nor arrays"),
        ([LABELS], r"got \[4\]"),
        ([IMAGES, IMAGES[:, :1], LABELS], "one array of images"),
        ({"images": IMAGES, "syn_images": IMAGES}, "got images and syn_images; expected one array"),
        ({"x_test": IMAGES, "y_test": LABELS}, "got x_test, y_test"),
    ],
)
def test_what_holds_no_set_is_refused(tree: Any, mentions: str) -> None:
    with pytest.raises(DataError, match=mentions):
        parts_of("a.pt", tree)


def test_labels_of_their_own_file() -> None:
    assert label_parts("l.pt", LABELS).labels is LABELS
    assert label_parts("l.npz", {"arr_0": SOFT}).soft is SOFT
    found = label_parts("l.pt", {"labels": LABELS, "soft_labels": SOFT})
    assert (found.labels is LABELS, found.soft is SOFT) == (True, True)
    with pytest.raises(DataError, match="no array of labels"):
        label_parts("l.pt", {"images": IMAGES, "more": IMAGES})
