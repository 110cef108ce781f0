"""Encodings of floats: exact, or within their documented error, and never hiding what is not finite."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter, ValidationError

from collabdm.checking import Checker
from collabdm.errors import ContributionError
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.protocol import ENCODINGS, EncodingName
from collabdm.protocol.deflating import deflated
from collabdm.randomness import Stream

Tensors = dict[str, np.ndarray]

IMAGES = Images(channels=1, height=4, width=4, normalisation=Normalisation(mean=(0.5,), std=(0.25,)))
NO_IMAGES = np.empty((0, 1, 4, 4), np.float32)
FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
ORDINARY = st.floats(-1e6, 1e6, width=32)


def means_of(elements: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, (2, 3, 1, 8), elements=elements)


def encoded(name: str, means: np.ndarray) -> Tensors:
    return ENCODINGS[name].encode(means, NO_IMAGES, IMAGES)


def decoded(name: str, tensors: Tensors, shape: tuple[int, ...] = (2, 3, 1, 8)) -> np.ndarray:
    return ENCODINGS[name].decode(tensors, shape, len(NO_IMAGES), IMAGES, Checker("sent"))[0]


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


def test_every_encoding_has_a_name_in_the_plan() -> None:
    for name in ENCODINGS:
        assert TypeAdapter(EncodingName).validate_python(name) == name


@pytest.mark.parametrize(("given_name", "read"), [("none", "fp32"), *((name, name) for name in ENCODINGS)])
def test_the_old_name_of_fp32_is_read(given_name: str, read: str) -> None:
    assert TypeAdapter(EncodingName).validate_python(given_name) == read


@pytest.mark.parametrize("name", ["", "None", "zip", None, 7])
def test_other_names_are_not(name: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(EncodingName).validate_python(name)


@pytest.mark.parametrize("name", ENCODINGS)
@given(means_of(FLOATS))
def test_tensors_are_the_declared_ones_and_finite_stays_finite(name: str, means: np.ndarray) -> None:
    tensors = encoded(name, means)
    assert set(tensors) == ENCODINGS[name].tensors(IMAGES)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["means", "images"])
def test_what_is_not_finite_is_refused_not_hidden(name: str, value: float, where: str) -> None:
    given_arrays = {"means": np.ones((2, 1, 1, 4), np.float32), "images": np.ones((3, 1, 4, 4), np.float32)}
    given_arrays[where][1, 0, 0, 2] = value
    tensors = ENCODINGS[name].encode(given_arrays["means"], given_arrays["images"], IMAGES)
    with pytest.raises(ContributionError, match=f"NaN or infinity in {where}"):
        ENCODINGS[name].decode(tensors, (2, 1, 1, 4), 3, IMAGES, Checker("sent"))


@given(means_of(FLOATS))
def test_fp32_is_exact(means: np.ndarray) -> None:
    assert encoded("fp32", means)["means"].tobytes() == means.tobytes()


@given(means_of(FLOATS))
def test_fp16_is_within_half_a_unit_in_the_last_place_or_clipped(means: np.ndarray) -> None:
    halved = encoded("fp16", means)["means"].astype(np.float64)
    exact = np.clip(means.astype(np.float64), -65504, 65504)
    assert (np.abs(halved - exact) <= np.maximum(np.abs(exact) * 2.0**-11, 2.0**-25)).all()


def test_known_values_of_int8() -> None:
    tensors = encoded("int8", vector(127, -127, 0.5, 1.5, 2.5, -0.5, -1.5, -63.4))
    assert tensors["means"].dtype == np.int8
    # Halves go to the even neighbour, on both sides of zero.
    assert tensors["means"].ravel().tolist() == [127, -127, 0, 2, 2, 0, -2, -63]
    assert tensors["means.scale"].tolist() == [[[1.0]]]
    assert tensors["means.scale"].dtype == np.float32
    half = encoded("int8", vector(63.5, -31.75, 0))
    assert half["means"].ravel().tolist() == [127, -64, 0]
    assert half["means.scale"].item() == 0.5


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-40, 127 * 2.0**-127])
def test_a_vector_of_zeros_or_next_to_it_has_scale_zero(value: float) -> None:
    tensors = encoded("int8", vector(value, 0))
    assert tensors["means.scale"].item() == 0
    assert decoded("int8", tensors, (1, 1, 1, 2)).tolist() == [[[[0, 0]]]]


@pytest.mark.parametrize(
    "elements", [ORDINARY, st.floats(-(2.0**-100), 2.0**-100, width=32), st.floats(0, 3, width=32)]
)
@given(data=st.data())
def test_the_error_of_int8_is_at_most_half_a_scale(elements: st.SearchStrategy[float], data: st.DataObject) -> None:
    means = data.draw(means_of(elements))
    error = np.abs(decoded("int8", encoded("int8", means)).astype(np.float64) - means)
    # max|v| / 254, and the rounding of float32.
    bound = np.abs(means).max(-1, keepdims=True) / 254.0 * (1 + 1e-4)
    assert (error <= np.maximum(bound, 127 * 2.0**-126)).all()


@given(means_of(ORDINARY), st.integers(-20, 20))
def test_int8_is_odd_and_does_not_care_for_the_unit(means: np.ndarray, power: int) -> None:
    # Values too close to zero for their scale to be a normal number are another case.
    means = np.where(np.abs(means) < 1e-20, 0, means).astype(np.float32)
    tensors = encoded("int8", means)
    scaled, negative = encoded("int8", means * np.float32(2.0**power)), encoded("int8", -means)
    assert np.array_equal(scaled["means"], tensors["means"])
    assert np.array_equal(scaled["means.scale"], tensors["means.scale"] * np.float32(2.0**power))
    assert np.array_equal(negative["means"], -tensors["means"])


def test_the_decoder_of_int8_against_a_slow_one() -> None:
    means = Stream(1, "int8").uniform((3, 2, 2, 5), -4, 9).astype(np.float32)
    tensors = encoded("int8", means)
    received = decoded("int8", tensors, means.shape)
    for index in np.ndindex(*means.shape):
        slow = int(tensors["means"][index]) * float(tensors["means.scale"][index[:-1]])
        assert received[index] == np.float32(slow)
        assert abs(slow - float(means[index])) <= float(np.abs(means[index[:-1]]).max()) / 254 * (1 + 1e-4)


def test_no_parts_are_no_bytes() -> None:
    tensors = encoded("int8", np.empty((4, 3, 0, 8), np.float32))
    assert (tensors["means"].size, tensors["means.scale"].size) == (0, 0)
    assert decoded("int8", tensors, (4, 3, 0, 8)).shape == (4, 3, 0, 8)


SCALE = np.ones((2, 3, 1), np.float32)
VALUES = np.ones((2, 3, 1, 8), np.int8)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "uint8": ({"means": VALUES.astype(np.uint8)}, "means uint8"),
    "floats": ({"means": VALUES.astype(np.float16)}, "means float16"),
    "another shape": ({"means": VALUES[:, :2]}, "means int8"),
    "-128": ({"means": np.full_like(VALUES, -128)}, "-128 to 0 in means"),
    "scales in half precision": ({"means.scale": SCALE.astype(np.float16)}, "means.scale float16"),
    "one scale for all": ({"means.scale": SCALE[:1, :1]}, "means.scale float32"),
    "a scale for every value": ({"means.scale": VALUES.astype(np.float32)}, "means.scale float32"),
    "a scale below zero": ({"means.scale": -SCALE}, "in means.scale"),
    "a scale too large": ({"means.scale": SCALE * 7875}, "in means.scale"),
    "a scale of NaN": ({"means.scale": SCALE * np.nan}, "NaN or infinity in means.scale"),
    "an infinite scale": ({"means.scale": SCALE * np.inf}, "NaN or infinity in means.scale"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_int8_is_refused(case: str) -> None:
    changes, says = WRONG[case]
    good = encoded("int8", np.ones((2, 3, 1, 8), np.float32))
    assert decoded("int8", good).shape == VALUES.shape
    with pytest.raises(ContributionError, match=says):
        decoded("int8", good | changes)


def test_int6_is_coarser_and_shorter_and_checked_alike() -> None:
    values = Stream(6, "values").uniform((4, 5, 1, 200), -1, 1).astype(np.float32) ** 3
    tensors = encoded("int6", values)
    assert tensors["means"].nbytes < 0.7 * values.size
    step = np.abs(values).max(axis=-1, keepdims=True) / 31
    assert (np.abs(decoded("int6", tensors, values.shape) - values) <= 0.5001 * step).all()
    for changed, says in (
        (deflated(np.full(4000, 32, np.int8)), "32 in means; expected -31 to 31"),
        (deflated(np.zeros(3999, np.int8)), "means of another length; expected 4000 bytes"),
        (tensors["means"][:-3], "means of another length"),
        (np.zeros(10, np.uint8), "means that is no deflate stream"),
        (np.zeros(4000, np.int8), "means int8"),
    ):
        with pytest.raises(ContributionError, match=says):
            decoded("int6", tensors | {"means": changed}, values.shape)


def test_the_largest_value_of_a_contribution_passes() -> None:
    tensors = encoded("int8", vector(1e6, -1e6))
    assert decoded("int8", tensors, (1, 1, 1, 2)).ravel().tolist() == pytest.approx([1e6, -1e6])
