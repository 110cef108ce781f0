"""Gradient matching: the distance, the gradient at the images, and the gradients of real data."""

import math
from collections.abc import Callable

import torch

from collabdm.data import Samples
from collabdm.engine import REFERENCE
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.local.gradient import class_gradient, gradient_distance, sample_gradient, trained_on
from collabdm.local.shown import Shown
from collabdm.modality import draw_augmentation
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream
from collabdm.training.differentiable import Differentiable
from collabdm.training.training_set import TrainingSet

SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.5,), std=(0.5,)))
NET = Differentiable(spec=NetworkSpec(name="convnet", width=4, depth=1), sample=SAMPLE, classes=3, engine=REFERENCE)
MakeSamples = Callable[..., Samples]


def _training(samples: Samples) -> TrainingSet:
    return TrainingSet(samples=samples, labels=torch.from_numpy(samples.labels), sample=SAMPLE, augment=())


def _shown(images: torch.Tensor, labels: torch.Tensor, tiles: int = 1) -> Shown:
    return Shown(samples=images, labels=labels, sample=SAMPLE, tiles=tiles, augment=())


def test_the_distance_by_hand() -> None:
    real = {"a": torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double()}
    synthetic = {"a": torch.tensor([[3.0, 0.0], [1.0, 1.0]]).double(), "bias": torch.ones(2)}
    assert abs(float(gradient_distance(real, synthetic)) - (1 - math.sqrt(0.5))) < 1e-5


def test_a_class_gradient_is_torchs_own(tiny_samples: Samples) -> None:
    parameters, rows = NET.fresh(Stream(0, "net")), tiny_samples.of_class(1)
    augmentation = draw_augmentation(Stream(0, "augment"), ("rotate",))
    got = class_gradient(NET, parameters, _training(tiny_samples), rows, augmentation)
    images = SAMPLE.tensors(tiny_samples.values[rows], device="cpu", dtype=torch.float64)
    graph = NET.gradient_with_graph(parameters, images, torch.ones(len(rows), dtype=torch.int64), augmentation)
    assert sorted(got) == ["body.0.weight", "classifier.weight"]
    assert all(torch.allclose(got[name], graph[name], rtol=1e-9, atol=1e-12) for name in got)


def test_the_gradient_at_the_images_is_that_of_finite_differences(tiny_samples: Samples) -> None:
    parameters = NET.fresh(Stream(0, "net"))
    real = _training(tiny_samples)
    drawn = {y: draw_augmentation(Stream(y, "augment"), ("scale", "crop")) for y in (0, 2)}
    wanted = {y: class_gradient(NET, parameters, real, tiny_samples.of_class(y), drawn[y]) for y in (0, 2)}
    images = torch.from_numpy(Stream(1, "images").uniform((3, 1, 8, 8), -1, 1))
    labels = torch.tensor([0, 2, 2])
    gradient, _ = sample_gradient(NET, parameters, _shown(images, labels, 2), wanted, drawn)
    step = 1e-5
    for place in [(0, 0, 3, 3), (1, 0, 0, 5), (2, 0, 7, 1)]:
        losses = []
        for sign in (1, -1):
            moved = images.clone()
            moved[place] += sign * step
            losses.append(sample_gradient(NET, parameters, _shown(moved, labels, 2), wanted, drawn)[1])
        assert abs((losses[0] - losses[1]) / (2 * step) - float(gradient[place])) < 1e-5


def test_images_of_classes_without_a_target_do_not_move(tiny_samples: Samples) -> None:
    parameters = NET.fresh(Stream(0, "net"))
    wanted = {1: class_gradient(NET, parameters, _training(tiny_samples), tiny_samples.of_class(1), None)}
    images = torch.from_numpy(Stream(1, "images").uniform((2, 1, 8, 8), -1, 1))
    gradient, _ = sample_gradient(NET, parameters, _shown(images, torch.tensor([0, 1])), wanted, {1: None})
    assert not gradient[0].any()
    assert bool(gradient[1].any())


def test_training_on_the_images_is_gradient_descent(tiny_samples: Samples) -> None:
    parameters = NET.fresh(Stream(0, "net"))
    images = torch.from_numpy(Stream(1, "images").uniform((3, 1, 8, 8), -1, 1))
    labels = torch.tensor([0, 1, 2])
    trained = trained_on(NET, parameters, _shown(images, labels), 3, 0.1, Stream(0, "inner"))
    expected = parameters
    for _ in range(3):
        gradient = NET.gradient_with_graph(expected, images, labels)
        expected = {name: (value - 0.1 * gradient[name]).detach() for name, value in expected.items()}
    assert all(torch.allclose(trained[name], expected[name], rtol=1e-9, atol=1e-12) for name in parameters)
