from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.data import Samples, checked_samples
from collabdm.errors import ConfigError, DataError, DataWarning
from collabdm.randomness import Stream


def labelled(labels: list[int], classes: int) -> Samples:
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Samples(values=images, labels=np.array(labels, np.int64), classes=tuple(f"c{y}" for y in range(classes)))


def test_take_counts_and_of_class() -> None:
    samples = labelled([2, 0, 2, 1], 4)
    assert len(samples) == 4
    assert samples.shape == (1, 1, 1)
    assert samples.counts().tolist() == [1, 1, 2, 0]
    assert samples.of_class(2).tolist() == [0, 2]
    taken = samples.take([3, 0])
    assert taken.labels.tolist() == [1, 2]
    assert taken.values.ravel().tolist() == [3, 0]
    assert len(samples.take([])) == 0


def test_the_same_pixels_lie_in_memory_in_the_same_way() -> None:
    """Torch reads the layout off the strides, and adds up in another order for another layout."""
    plain = np.arange(5 * 8 * 6, dtype=np.uint8).reshape(5, 1, 8, 6)
    layouts = {
        "an axis added": plain[:, 0][:, None],
        "channels last": np.moveaxis(np.ascontiguousarray(np.moveaxis(plain, 1, 3)), 3, 1),
        "columns first": np.asfortranarray(plain),
        "every other": np.repeat(plain, 2, axis=0)[::2],
    }
    assert layouts["an axis added"].strides != plain.strides
    for name, images in layouts.items():
        samples = Samples(values=images, labels=np.zeros(5, np.int64), classes=("a",))
        assert np.array_equal(samples.values, plain), name
        assert samples.values.strides == samples.take([3, 1]).values.strides == plain.strides, name
    whole = Samples(values=plain, labels=np.zeros(5, np.int64), classes=("a",))
    assert np.shares_memory(whole.values, plain)


def test_with_classes_matches_by_name() -> None:
    samples = labelled([1, 1, 2], 3)
    assert samples.with_classes(["c2", "x", "c1"]).labels.tolist() == [2, 2, 0]
    accents = Samples(values=samples.values, labels=samples.labels, classes=("a", "cafe\u0301", "b"))  # as macOS writes
    assert accents.with_classes(["b", "caf\u00e9"]).labels.tolist() == [1, 1, 0]
    with pytest.warns(DataWarning, match="taken for one: c1 for C1, c2 for C2$"):
        assert samples.with_classes(["C2", "x", "C1"]).labels.tolist() == [2, 2, 0]
    with pytest.raises(DataError, match=r"got c1 \(2 of 3 samples\); expected among c2, c0; fix: "):
        samples.with_classes(["c2", "c0"])


def test_two_held_classes_are_never_made_one() -> None:
    values = np.zeros((2, 1, 1, 1), np.uint8)
    cranes = Samples(values=values, labels=np.array([0, 1]), classes=("crane", "Crane"))
    assert cranes.with_classes(["Crane", "crane"]).labels.tolist() == [1, 0]
    for classes in (["crane"], ["CRANE"], ["CRANE", "cRANE"]):
        with pytest.raises(DataError, match="class names of the data: got "):
            cranes.with_classes(classes)
    for first, second in (("caf\u00e9", "cafe\u0301"), ("grade I", "grade\u00a0I"), ("ab", "a\u200db")):
        with pytest.raises(DataError, match="names that differ to the eye"):
            Samples(values=values, labels=np.array([0, 1]), classes=(first, second))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0.01, 0.99), st.integers(0, 9))
def test_split_is_a_stratified_cover(labels: list[int], fraction: float, seed: int) -> None:
    samples = labelled(labels, 5)
    kept, held_out = samples.split(fraction, Stream(seed, "split"))
    together = np.concatenate([kept.values.ravel(), held_out.values.ravel()])
    assert sorted(together.tolist()) == list(range(len(labels)))
    for have, out, left in zip(samples.counts(), held_out.counts(), kept.counts(), strict=True):
        assert abs(out - fraction * have) <= 1 + 1e-9
        assert left > 0 or have == 0
    again, _ = samples.split(fraction, Stream(seed, "split"))
    np.testing.assert_array_equal(again.values, kept.values)


def test_split_of_a_tenth_has_exactly_a_tenth() -> None:
    samples = labelled([0] * 33 + [1] * 67 + [2] * 50, 3)
    _, held_out = samples.split(0.1, Stream(1, "split"))
    assert len(held_out) == 15
    assert held_out.counts().tolist() in ([3, 7, 5], [4, 6, 5])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_split_refuses_other_fractions(fraction: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        labelled([0, 0], 1).split(fraction, Stream(0, "split"))


GREY = np.zeros((2, 1, 4, 4), np.float32)
TWO = np.array([0, 1])


def with_pixel(value: float) -> np.ndarray:
    images = GREY.copy()
    images[1, 0, 2, 2] = value
    return images


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (GREY, np.array([0, 2]), r"label of row 1: got 2; expected 0 to 1"),
        (GREY, np.array([-1, 0]), r"label of row 0: got -1"),
        (GREY, np.array([0.0, 1.0]), r"labels: got float64"),
        (GREY, np.array([0]), r"labels: got int64 \[1\]; expected int64 \[2\]"),
        (with_pixel(np.nan), TWO, r"row 1: got NaN or infinity"),
        (with_pixel(np.inf), TWO, r"row 1: got NaN or infinity"),
        (with_pixel(-np.inf), TWO, r"row 1: got NaN or infinity"),
        (with_pixel(1.5), TWO, r"floats from 0 to 1.5"),
        (with_pixel(-0.1), TWO, r"floats from -0.1 to 0"),
        (GREY[:, 0], TWO, r"images: got float32 \[2, 4, 4\]"),
        (GREY.astype(np.float64), TWO, r"samples: got float64"),
        (GREY[:0], TWO[:0], r"rows of site: got 0"),
    ],
)
def test_bad_data_is_refused_in_one_line(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        checked_samples(images, labels, ["a", "b"], source="site")
    assert "\n" not in str(error.value)
    assert "fix: " in str(error.value)


def test_class_names_must_be_distinct() -> None:
    with pytest.raises(DataError, match="distinct"):
        checked_samples(GREY, TWO, ["a", "a"], source="site")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"values": GREY.tolist()}, r"samples: got a list; expected a NumPy array, uint8 or float32 \[n, ...\]; fix"),
        ({"labels": [0, 1]}, r"labels: got a list; expected a NumPy array, int64 \[n\]; fix"),
        ({"classes": "ab"}, "class names: got the text ab; expected a tuple of names; fix"),
        ({"classes": None}, "class names: got NoneType; expected a tuple"),
        ({"classes": {"a", "b"}}, "class names: got set; expected a tuple"),
        ({"classes": ("a", 1)}, "class names: got 1, a int; expected text; fix"),
        ({"classes": ("a", None)}, "class names: got None, a NoneType; expected text"),
    ],
)
def test_what_is_no_array_and_no_name_is_refused_in_one_line(change: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        Samples(**({"values": GREY, "labels": TWO, "classes": ("a", "b")} | change))


def test_class_names_in_a_list_or_an_array_become_a_tuple() -> None:
    for classes in (["a", "b"], np.array(["a", "b"])):
        assert Samples(values=GREY, labels=TWO, classes=classes).classes == ("a", "b")  # type: ignore[arg-type]
