"""Gradient matching (DC, Zhao et al. 2020): images whose training gradients are those of real data, class by class."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.engine.workers import torch_threads
from collabdm.images.augment import Augmentation, augment, draw_augmentation
from collabdm.images.partition_expand import expand
from collabdm.local.shown import Shown
from collabdm.local.start import LocalJob
from collabdm.progress import Event, Report
from collabdm.protocol import GradientSpec
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import named, within
from collabdm.training.differentiable import Differentiable, Parameters
from collabdm.training.loop import TrainingSet

__all__ = ["class_gradient", "gradient_distance", "gradient_images", "image_gradient", "trained_on", "weights_only"]


def gradient_images(job: LocalJob, images: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial images [n, C, H, W] with labels [n], distilled under a plan; stored images count by their tiles."""
    plan, spec = job.plan, job.plan.local.gradient or GradientSpec()
    net = Differentiable(spec=plan.network, shape=plan.sample.shape, classes=len(plan.classes), engine=job.engine)
    real = TrainingSet(
        images=job.samples,
        labels=torch.from_numpy(job.samples.labels),
        normalisation=plan.normalisation,
        augment=plan.augment,
    )
    begin, momentum, parameters = 0, torch.zeros_like(images), {}
    if found := job.checkpoint.found():
        begin, images, momentum = int(found["done"]), found["images"].to(images), found["momentum"].to(images)
        parameters = {name: value.to(images) for name, value in within(found, "network").items()}
    with torch_threads(job.engine.threads):
        for i in range(begin, spec.iterations):
            stream = Stream(plan.seed, "gradient", job.client, i)
            if i % spec.restart == 0:
                parameters = net.fresh(stream)
            augmentations = {y: draw_augmentation(stream, plan.augment) for y in job.members}
            wanted = {
                y: class_gradient(net, parameters, real, rows[stream.choose(len(rows), spec.batch)], augmentations[y])
                for y, rows in job.members.items()
            }
            gradient, loss = image_gradient(net, parameters, images, labels, wanted, augmentations, plan.pae)
            momentum = spec.momentum * momentum + gradient
            images = images - spec.lr * momentum
            if i % spec.restart < spec.restart - 1:
                shown = Shown(
                    images=images,
                    labels=labels,
                    factor=plan.pae,
                    normalisation=plan.normalisation,
                    augment=plan.augment,
                )
                parameters = trained_on(net, parameters, shown, spec.inner, spec.inner_lr, stream)
            report(Event(stage="local", client=job.client, done=i + 1, total=spec.iterations, loss=loss))
            state = {"images": images, "momentum": momentum, "done": torch.tensor(i + 1)} | named("network", parameters)
            job.checkpoint.keep(partial(dict, state))
    return images


def class_gradient(
    net: Differentiable,
    parameters: Mapping[str, Tensor],
    real: TrainingSet,
    rows: np.ndarray,
    augmentation: Augmentation | None,
) -> Parameters:
    """Gradient of the mean loss over real samples, of those parameters that are matched."""
    gradient, _ = net.gradient(parameters, real, rows, augmentation)
    return weights_only(gradient)


def weights_only(gradient: Mapping[str, Tensor]) -> Parameters:
    """Biases and norms are not matched (as in the authors' code), so they need not be sent."""
    return {name: value for name, value in gradient.items() if value.dim() > 1}


def image_gradient(
    net: Differentiable,
    parameters: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    wanted: Mapping[int, Parameters],
    augmentations: Mapping[int, Augmentation | None],
    factor: int,
) -> tuple[Tensor, float]:
    """Gradient [n, C, H, W] at the images of the distances summed over the classes in `wanted`, and that sum.

    Class by class, so that the graph of one class is held at a time.
    """
    gradient, total = torch.zeros_like(images), 0.0
    for y, real in wanted.items():
        rows = (labels == y).nonzero().flatten()
        if not len(rows):
            continue
        leaf = images[rows].detach().requires_grad_()
        shown = augment(expand(leaf, factor), augmentations[y])
        synthetic = net.gradient_with_graph(parameters, shown, labels.new_full((len(shown),), y))
        distance = gradient_distance(real, synthetic)
        (gradient[rows],) = torch.autograd.grad(distance, leaf)
        total += float(distance.detach())
    return gradient, total


def gradient_distance(real: Mapping[str, Tensor], synthetic: Mapping[str, Tensor]) -> Tensor:
    """1 - cosine, summed over the output channels of every layer in `real` (equation 9 of Zhao et al.)."""
    total = torch.zeros((), dtype=next(iter(real.values())).dtype, device=next(iter(real.values())).device)
    for name, value in real.items():
        a, b = value.flatten(1), synthetic[name].flatten(1)
        total = total + (1 - (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).sum()
    return total


def trained_on(
    net: Differentiable,
    parameters: Mapping[str, Tensor],
    shown: Shown,
    steps: int,
    lr: float,
    stream: Stream,
) -> Parameters:
    """Parameters after `steps` of plain gradient descent on batches of at most 256 of the (expanded) images."""
    training, current = shown.training_set(), dict(parameters)
    for _ in range(steps):
        rows = stream.choose(len(training.labels), 256)
        augmentation = draw_augmentation(stream, shown.augment, len(rows))
        gradient, _ = net.gradient(current, training, rows, augmentation)
        current = {name: value - lr * gradient[name] for name, value in current.items()}
    return current
