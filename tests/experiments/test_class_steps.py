"""Orders of classes, the data of some of them, and forgetting, against values worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from collabdm.data import Dataset, load_dataset
from collabdm.errors import ConfigError
from collabdm.experiments.class_steps import class_steps, forgetting, of_classes, share_found
from collabdm.randomness import Stream


def stream(seed: int) -> Stream:
    return Stream(seed, "class order")


@pytest.mark.parametrize(("classes", "steps", "sizes"), [(10, 5, [2] * 5), (100, 10, [10] * 10), (7, 3, [3, 2, 2])])
def test_every_class_comes_once(classes: int, steps: int, sizes: list[int]) -> None:
    found = class_steps(classes, steps, stream(0))
    assert [len(step) for step in found] == sizes
    assert sorted(y for step in found for y in step) == list(range(classes))


def test_an_order_follows_from_its_stream_alone() -> None:
    first = class_steps(10, 5, stream(3))
    assert first == class_steps(10, 5, stream(3))
    assert [y for step in first for y in step] == stream(3).permutation(10).tolist()
    assert len({class_steps(10, 5, stream(order)) for order in range(5)}) == 5


@pytest.mark.parametrize("steps", [1, 4])
def test_steps_that_nothing_can_come_in_are_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"steps in which classes come: got {steps}; expected 2 to 3"):
        class_steps(3, steps, stream(0))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    data = load_dataset("digits")
    return replace(data, columns={"row": np.arange(len(data.train))})


def test_the_data_of_some_classes_keep_their_names_values_and_columns(digits: Dataset) -> None:
    part = of_classes(digits, (7, 2))
    assert part.train.classes == part.test.classes == part.preset.classes == ("7", "2")
    for kept, whole in ((part.train, digits.train), (part.test, digits.test)):
        for here, there in enumerate((7, 2)):
            np.testing.assert_array_equal(kept.values[kept.labels == here], whole.values[whole.labels == there])
        assert len(kept) == sum(whole.labels == 7) + sum(whole.labels == 2)
    np.testing.assert_array_equal(digits.train.values[part.columns["row"]], part.train.values)


def test_a_share_counts_every_test_sample_once() -> None:
    assert share_found([0.5, 1.0, None, 0.0], [10, 30, 0, 60], [0, 1]) == pytest.approx(35 / 40)
    assert share_found([0.5, 1.0, None, 0.0], [10, 30, 0, 60], [1, 2]) == 1.0


def test_forgetting_is_the_fall_from_the_best_before_the_last_step() -> None:
    # Of the first step the best is 0.9, and 0.5 is left; of the second 0.8 of 0.6. The last was not yet forgotten.
    assert forgetting([[0.7], [0.9, 0.6], [0.5, 0.8, 1.0]]) == pytest.approx((0.4 - 0.2) / 2)
    assert forgetting([[1.0], [1.0, 0.3]]) == 0.0
    assert forgetting([[1.0], [0.25, 0.3]]) == 0.75
