import numpy as np

from collabdm.data.flows.images import ImageSettings
from collabdm.data.flows.notes import notes
from data.flows.tiny_flows import tiny_schema

SETTINGS = ImageSettings(flow_schema=tiny_schema(), side=5, flows_per_image=4)
HINT = "; where a class is rare, windows of one flow are the most there are: --flows-per-image 1"


def told(train: list[int], test: list[int], flows: list[int], settings: ImageSettings = SETTINGS) -> list[str]:
    """The notes on so many windows and flows of each class: benign, scan, other."""
    labels = np.concatenate([np.repeat(np.arange(3), train), np.repeat(np.arange(3), test)])
    return notes(labels, np.arange(len(labels)) >= sum(train), np.array(flows), settings)


def test_where_all_is_well_nothing_is_told() -> None:
    assert told([20, 20, 20], [5, 5, 5], [100, 100, 100]) == []


def test_a_class_without_windows_on_a_side_is_told_with_its_counts() -> None:
    assert told([20, 2, 20], [5, 0, 5], [100, 8, 100]) == [
        f"no window to test on of scan (2 to train on, 0 to test on; 8 flows){HINT}"
    ]
    assert told([20, 0, 20], [5, 3, 5], [100, 12, 100]) == [
        f"no window to train on of scan (0 to train on, 3 to test on; 12 flows){HINT}"
    ]
    assert told([20, 0, 20], [5, 0, 5], [100, 3, 100]) == [
        f"no window at all of scan (0 to train on, 0 to test on; 3 flows){HINT}",
        "3 of 203 flows are in no window: what is left at the end of a stream",
    ]


def test_rare_classes_are_told_and_windows_of_one_flow_only_where_windows_are_longer() -> None:
    lines = told([7, 9, 8], [2, 1, 1], [36, 40, 36])
    assert lines == [
        "fewer than 10 windows of benign (7 to train on, 2 to test on; 36 flows), "
        f"other (8 to train on, 1 to test on; 36 flows){HINT}"
    ]
    single = SETTINGS.model_copy(update={"flows_per_image": 1})
    assert not any("--flows-per-image" in line for line in told([7, 9, 8], [2, 1, 1], [9, 10, 9], single))


def test_no_test_part_and_absent_classes_are_told() -> None:
    assert told([20, 0, 20], [0, 0, 0], [80, 0, 80]) == [
        "no window to test on: commands that measure accuracy need some",
        "no flow of scan",
    ]
