"""A classifier says the same after every way to disk and back, and refuses every bad way in."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from collabdm.classifiers.file import Classifier, ClassifierCard, decode_classifier, load_classifier
from collabdm.errors import ClassifierError
from collabdm.images.pixels import Normalisation
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.randomness import Stream

NETWORK = NetworkSpec(name="convnet", width=4, depth=1)
SHAPE, CLASSES = (1, 8, 8), ("benign", "flood", "scan")


def make(**changes: Any) -> Classifier:
    fields: dict[str, Any] = {
        "network": NETWORK,
        "classes": CLASSES,
        "shape": SHAPE,
        "normalisation": Normalisation(mean=(0.4,), std=(0.3,)),
        "facts": {"seed": 3, "method": "collabdm-pae"},
    }
    parameters = changes.pop("parameters", None)
    card = ClassifierCard(**(fields | changes))
    if parameters is None:
        assert card.shape is not None
        network = build_network(card.network, card.shape, len(card.classes))
        parameters = initial_parameters(network, Stream(5, "classifier test"))
    return Classifier(card=card, parameters=parameters)


def images(count: int = 5) -> np.ndarray:
    return Stream(1, "classifier images").integers(256, (count, *SHAPE)).astype(np.uint8)


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    original = make()
    original.save(tmp_path / "model.safetensors")
    read = load_classifier(tmp_path / "model.safetensors")
    assert read.card == original.card
    assert read.digest() == original.digest()
    for name, value in original.parameters.items():
        assert torch.equal(read.parameters[name].view(torch.int32), value.view(torch.int32)), name
    assert np.array_equal(read.probabilities(images()), original.probabilities(images()))


def test_the_bytes_do_not_depend_on_the_order_of_anything() -> None:
    original = make(facts={"b": 1, "a": {"y": 2, "x": 3}})
    turned = make(facts={"a": {"x": 3, "y": 2}, "b": 1}, parameters=dict(reversed(list(original.parameters.items()))))
    assert turned.to_bytes() == original.to_bytes() == decode_classifier(original.to_bytes()).to_bytes()


def test_probabilities_are_those_of_torchs_own_layers() -> None:
    classifier = make()
    plain = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.InstanceNorm2d(4, affine=True),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    names = {"body.0": "0", "body.1": "1", "classifier": "5"}
    plain.load_state_dict(
        {f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}": v for n, v in classifier.parameters.items()}
    )
    given_images = torch.from_numpy(images(70)).float().div(255).sub(0.4).div(0.3)
    with torch.no_grad():
        expected = torch.softmax(plain(given_images), dim=1)
    found = classifier.probabilities(images(70))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert classifier.probabilities(images(0)).shape == (0, 3)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ClassifierError, match=r"got \[1, 9, 8\]; expected \[1, 8, 8\]"):
        make().probabilities(np.zeros((2, 1, 9, 8), np.uint8))


PARAMETERS = dict(make().parameters)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b", "b")}, "distinct names"),
        ({"classes": ("a", "b", " ")}, "distinct names"),
        ({"normalisation": Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3)}, "normalisation: got 3 channels"),
        ({"parameters": PARAMETERS | {"classifier.bias": torch.zeros(4)}}, "classifier.bias: got"),
        ({"parameters": PARAMETERS | {"classifier.bias": torch.full((3,), torch.nan)}}, "NaN"),
        ({"parameters": PARAMETERS | {"classifier.bias": torch.full((3,), 1e30)}}, "huge"),
        ({"parameters": PARAMETERS | {"more": torch.zeros(1)}}, "more: got"),
        ({"parameters": {"classifier.bias": torch.zeros(3)}}, "no such tensor"),
    ],
)
def test_fields_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClassifierError) as error:
        make(**changes)
    assert_explained(str(error.value), message)


BESIDE = NetworkSpec(name="patches", width=4)


def with_another() -> Classifier:
    second = initial_parameters(build_network(BESIDE, SHAPE, len(CLASSES)), Stream(6, "classifier test"))
    named = {f"beside.{name}": value for name, value in second.items()}
    return make(beside=BESIDE, parameters=PARAMETERS | named)


def test_the_logits_of_two_networks_are_added() -> None:
    both = decode_classifier(with_another().to_bytes())
    assert both.to_bytes() == with_another().to_bytes()
    second = {name.removeprefix("beside."): v for name, v in both.parameters.items() if name.startswith("beside.")}
    alone = (make(), make(network=BESIDE, parameters=second))
    product = np.prod([one.probabilities(images(9)) for one in alone], axis=0)
    np.testing.assert_allclose(both.probabilities(images(9)), product / product.sum(axis=1, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beside": BESIDE, "parameters": PARAMETERS}, "no such tensor"),
        ({"parameters": dict(with_another().parameters)}, "beside."),
        ({"beside": NETWORK, "parameters": dict(with_another().parameters)}, "convnet with convnet beside it"),
        ({"beside": NetworkSpec(name="convnet", depth=8), "parameters": PARAMETERS}, "8x8 images"),
    ],
)
def test_a_second_network_is_checked_like_the_first(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClassifierError) as error:
        make(**changes)
    assert_explained(str(error.value), message)


@pytest.mark.parametrize("whole", [make, with_another])
def test_views_are_averaged(whole: Callable[..., Classifier]) -> None:
    once = whole()
    card = once.card.model_copy(update={"views": ("flip",)})
    both = decode_classifier(Classifier(card=card, parameters=once.parameters).to_bytes())
    assert both.card.views == ("flip",)
    # The softmax of a mean of logits is the normalised geometric mean.
    shown = [once.probabilities(values) for values in (images(9), images(9)[..., ::-1].copy())]
    expected = np.sqrt(shown[0] * shown[1])
    np.testing.assert_allclose(both.probabilities(images(9)), expected / expected.sum(axis=1, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize("views", [(), ("flip", "flip"), ("crop",), ("x" * 5000,)])
def test_views_that_there_are_not_are_refused(views: tuple[str, ...]) -> None:
    with pytest.raises(ClassifierError) as error:
        make(views=views)
    assert_explained(str(error.value), "classifier's views")


def test_one_that_is_asked_once_says_nothing_of_views() -> None:
    assert b"views" not in make().to_bytes()


def assert_explained(text: str, message: str = "") -> None:
    assert message in text
    assert "; expected " in text
    assert "; fix: " in text
    assert "\n" not in text
    assert len(text) < 1000


GOOD = make(flows={"side": 8}).to_bytes()
TENSORS = safetensors.torch.load(GOOD)


def rebuilt(change: Callable[[dict[str, Any]], Any], **tensors: torch.Tensor) -> bytes:
    """The good file with its metadata changed and tensors replaced or added (`__` for a dot)."""
    length = struct.unpack("<Q", GOOD[:8])[0]
    metadata = json.loads(json.loads(GOOD[8 : 8 + length])["__metadata__"]["collabdm"])
    change(metadata)
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return safetensors.torch.save(TENSORS | named, {"collabdm": json.dumps(metadata)})


def with_header(change: Callable[[dict[str, Any]], Any]) -> bytes:
    length = struct.unpack("<Q", GOOD[:8])[0]
    header = json.loads(GOOD[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + GOOD[8 + length :]


def nothing(_: dict[str, Any]) -> None:
    pass


BIAS, WEIGHT = "classifier.bias", "classifier.weight"
HOSTILE = {
    "empty": b"",
    "short": b"abc",
    "truncated": GOOD[:-100],
    "truncated in the header": GOOD[:100],
    "longer": GOOD + b"x",
    "pickle": pickle.dumps(PARAMETERS),
    "endless header": struct.pack("<Q", 2**63) + GOOD[8:],
    "deep header": struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000,
    "header is a list": struct.pack("<Q", 2) + b"[]",
    "absurd shape": with_header(lambda h: h[WEIGHT].update(shape=[10**15, 64])),
    "overflowing shape": with_header(lambda h: h[WEIGHT].update(shape=[2**62, 2**62])),
    "transposed shape": with_header(lambda h: h[WEIGHT].update(shape=[64, 3])),
    "shape is text": with_header(lambda h: h[WEIGHT].update(shape="3,64")),
    "other dtype of the same size": with_header(lambda h: h[BIAS].update(dtype="I32")),
    "offsets outside": with_header(lambda h: h[BIAS].update(data_offsets=[0, 2**40])),
    "offsets overlap": with_header(lambda h: h[BIAS].update(data_offsets=[4, 16])),
    "entry is a number": with_header(lambda h: h.update({BIAS: 3})),
    "no metadata": safetensors.torch.save(TENSORS),
    "foreign metadata": safetensors.torch.save(TENSORS, {"format": "pt"}),
    "further metadata": with_header(lambda h: h["__metadata__"].update(more="x")),
    "metadata is no JSON": safetensors.torch.save(TENSORS, {"collabdm": "{"}),
    "deep metadata": safetensors.torch.save(TENSORS, {"collabdm": "[" * 50_000}),
    "a distilled set": rebuilt(lambda m: m.update(format="collabdm-distilled-set")),
    "unknown key": rebuilt(lambda m: m.update(surprise=1)),
    "missing key": rebuilt(lambda m: m.pop("classes")),
    "no classes": rebuilt(lambda m: m.update(classes=[])),
    "more classes": rebuilt(lambda m: m.update(classes=["a", "b", "c", "d"])),
    "classes alike": rebuilt(lambda m: m.update(classes=["a", "a", "b"])),
    "lone surrogate": rebuilt(lambda m: m.update(classes=["\ud800", "a", "b"])),
    "unknown network": rebuilt(lambda m: m["network"].update(name="perceptron")),
    "other network": rebuilt(lambda m: m.update(network={"name": "alexnet"})),
    "network too deep": rebuilt(lambda m: m["network"].update(depth=8)),
    "absurd width": rebuilt(lambda m: m["network"].update(width=2**40)),
    "wider than its tensors": rebuilt(lambda m: m["network"].update(width=4096)),
    "network of no such parameter": rebuilt(lambda m: m.update(network={"name": "alexnet", "depth": 3})),
    "absurd side": rebuilt(lambda m: m.update(shape=[1, 10**9, 10**9])),
    "other side": rebuilt(lambda m: m.update(shape=[1, 4096, 4096])),
    "two channels": rebuilt(lambda m: m.update(shape=[2, 8, 8])),
    "no shape": rebuilt(lambda m: m.update(shape=[])),
    "shape is text in metadata": rebuilt(lambda m: m.update(shape=["1", 8, 8])),
    "NaN mean": rebuilt(lambda m: m["normalisation"].update(mean=[float("nan")])),
    "zero std": rebuilt(lambda m: m["normalisation"].update(std=[0.0])),
    "NaN facts": rebuilt(lambda m: m.update(facts={"a": float("nan")})),
    "infinite flows": rebuilt(lambda m: m.update(flows={"a": float("inf")})),
    "half weights": rebuilt(nothing, classifier__weight=TENSORS[WEIGHT].half()),
    "double weights": rebuilt(nothing, classifier__weight=TENSORS[WEIGHT].double()),
    "flat weights": rebuilt(nothing, classifier__weight=TENSORS[WEIGHT].flatten()),
    "NaN weights": rebuilt(nothing, classifier__bias=torch.full((3,), torch.nan)),
    "infinite weights": rebuilt(nothing, classifier__bias=torch.full((3,), torch.inf)),
    "huge weights": rebuilt(nothing, classifier__bias=torch.full((3,), 1e20)),
    "further tensor": rebuilt(nothing, more=torch.zeros(1)),
}


def test_the_good_file_is_good() -> None:
    assert decode_classifier(rebuilt(nothing)).digest() == decode_classifier(GOOD).digest()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ClassifierError) as error:
        load_classifier(path)
    assert_explained(str(error.value), str(path))


def test_another_version_says_so() -> None:
    with pytest.raises(ClassifierError, match="got version 2; expected version 1"):
        decode_classifier(rebuilt(lambda m: m.update(version=2, novelty=1)))


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.safetensors"):
        with pytest.raises(ClassifierError, match="readable safetensors file"):
            load_classifier(path)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_read_as_a_valid_classifier(position: int, value: int) -> None:
    damaged = bytearray(GOOD)
    damaged[position] = value
    try:
        read = decode_classifier(bytes(damaged))
    except ClassifierError:
        return
    assert all(bool(torch.isfinite(tensor).all()) for tensor in read.parameters.values())
    assert len(read.card.classes) == 3
