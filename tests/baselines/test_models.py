"""Models as values: batch norms kept functionally, members weighted, bytes there and back."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from collabdm.baselines.models import (
    Functional,
    Model,
    classifier,
    decode_parameters,
    encode_parameters,
    is_running,
    test_model,
)
from collabdm.data import Samples
from collabdm.engine import Engine
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.networks import ClassifierSpec, build_network, initial_parameters, initial_running
from collabdm.randomness import Stream

test_model.__test__ = False  # type: ignore[attr-defined]  # a function under test, not a test

SPEC = ClassifierSpec(width=8, depth=2)
SHAPE = (1, 8, 8)
PLAIN = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))


def parameters_of(seed: int = 0) -> dict[str, Tensor]:
    network = build_network(SPEC, SHAPE, 3)
    return initial_parameters(network, Stream(seed, "test")) | initial_running(network)


def images_of(count: int) -> Tensor:
    return torch.from_numpy(Stream(1, "images").uniform((count, *SHAPE), -1, 1, dtype=np.float32))


def reference() -> nn.Sequential:
    """The same network from torch's own layers."""
    layers: list[nn.Module] = []
    for channels in (1, 8):
        layers += [nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 3))
    names = {"body.0": 0, "body.1": 1, "body.4": 4, "body.5": 5, "classifier": 9}
    renamed = {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": v for name, v in parameters_of().items()}
    network.load_state_dict(renamed, strict=False)
    return network


def test_training_is_that_of_torchs_own_layers() -> None:
    expected, images = reference().train(), images_of(6)
    given = {name: value.clone() for name, value in parameters_of().items()}
    logits = classifier(SPEC, SHAPE, 3, torch.float32, training=True)(given, images)
    torch.testing.assert_close(logits, expected(images), rtol=1e-5, atol=1e-6)
    kept = expected.state_dict()
    for name, number in (("body.1", 1), ("body.5", 5)):
        for part in ("running_mean", "running_var"):
            torch.testing.assert_close(given[f"{name}.{part}"], kept[f"{number}.{part}"])


def test_testing_uses_and_keeps_the_running_statistics() -> None:
    given = parameters_of()
    given["body.1.running_mean"] += 0.5
    before = copy.deepcopy(given)
    expected = reference().eval()
    torch.nn.init.constant_(expected[1].running_mean, 0.5)  # type: ignore[arg-type]
    logits = classifier(SPEC, SHAPE, 3, torch.float32)(given, images_of(6))
    torch.testing.assert_close(logits, expected(images_of(6)), rtol=1e-5, atol=1e-6)
    assert all(value.equal(before[name]) for name, value in given.items())


def test_what_enters_the_batch_norms_is_seen() -> None:
    given, images = parameters_of(), images_of(4)
    logits, inputs = classifier(SPEC, SHAPE, 3, torch.float32).watched(given, images)
    assert list(inputs) == ["body.1", "body.5"]
    first = nn.functional.conv2d(images, given["body.0.weight"], given["body.0.bias"], padding=1)
    torch.testing.assert_close(inputs["body.1"], first)
    torch.testing.assert_close(logits, classifier(SPEC, SHAPE, 3, torch.float32)(given, images))


def test_only_convolutions_and_linear_layers_compute_in_the_narrow_type() -> None:
    given, images = parameters_of(), images_of(16)
    narrow = Functional(build_network(SPEC, SHAPE, 3).eval(), torch.bfloat16)
    logits = narrow(given, images)
    assert logits.dtype == torch.float32
    wide = classifier(SPEC, SHAPE, 3, torch.float32)(given, images)
    assert 0 < float((logits - wide).norm() / wide.norm()) < 2e-2


def test_a_model_weighs_its_members() -> None:
    members = (parameters_of(0), parameters_of(1))
    made = [
        Model(spec=SPEC, sample=PLAIN, classes=("a", "b", "c"), members=m, weights=w)
        for m, w in (((members[0],), (1.0,)), ((members[1],), (2.0,)), (members, (1.0, 3.0)))
    ]
    first, second, both = (model.predict(images_of(5)) for model in made)
    torch.testing.assert_close(both, 0.25 * first + 0.75 * second)


def test_a_model_is_asked_about_all_views() -> None:
    made = Model(
        spec=SPEC,
        sample=PLAIN,
        classes=("a", "b", "c"),
        members=(parameters_of(0), parameters_of(1)),
        weights=(1.0, 3.0),
    )
    expected = (made.predict(images_of(5)) + made.predict(images_of(5).flip(3))) / 2
    torch.testing.assert_close(dataclasses.replace(made, views=("flip",)).predict(images_of(5)), expected)


def test_accuracy_of_a_model() -> None:
    pixels = Stream(2, "pixels").integers(256, (90, *SHAPE)).astype(np.uint8)
    labels = Stream(3, "labels").integers(2, 90)  # nobody of the third class
    test = Samples(values=pixels, labels=labels, classes=("a", "b", "c"))
    model = Model(spec=SPEC, sample=PLAIN, classes=test.classes, members=(parameters_of(),))
    logits = model.predict(PLAIN.tensors(pixels, device="cpu", dtype=torch.float32))
    right = logits.argmax(dim=1).numpy() == labels
    for engine in (Engine(chunk=7), Engine(chunk=32, threads=2)):
        accuracy, per_class, _, confusion = test_model(model, test, engine)
        assert np.sum(confusion, axis=1).tolist() == test.counts().tolist()
        assert accuracy == pytest.approx(right.mean())
        assert per_class == (
            pytest.approx(right[labels == 0].mean()),
            pytest.approx(right[labels == 1].mean()),
            None,
        )


def test_bytes_there_and_back() -> None:
    given = parameters_of()
    exact, held = decode_parameters(encode_parameters(given, [3, 0, 9], "fp32"))
    assert held.tolist() == [3, 0, 9]
    assert all(exact[name].equal(value) for name, value in given.items())
    content = encode_parameters(given, [3, 0, 9], "fp16")
    half, _ = decode_parameters(content)
    assert all(half[name].equal(value.half().float()) for name, value in given.items())
    numbers = sum(value.numel() for value in given.values())
    assert 0 < len(content) - 2 * numbers - 3 * 8 < 3000, "two bytes a number, the counts, and a header"


def test_running_statistics_are_told_by_their_names() -> None:
    running = {name for name in parameters_of() if is_running(name)}
    assert running == set(initial_running(build_network(SPEC, SHAPE, 3)))
