"""Gradient matching (DC, Zhao et al. 2020): samples whose training gradients are those of real data, class by class."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.engine.workers import torch_threads
from collabdm.local.shown import Shown, real_set, shown_under
from collabdm.local.start import LocalJob
from collabdm.modality import Augmentation, draw_augmentation
from collabdm.progress import Event, Report
from collabdm.protocol import GradientSpec
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import named, within
from collabdm.training.differentiable import Differentiable, Parameters
from collabdm.training.training_set import TrainingSet

__all__ = ["class_gradient", "gradient_distance", "gradient_samples", "sample_gradient", "trained_on", "weights_only"]


def gradient_samples(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial samples [n, *shape] with labels [n], distilled under a plan; stored samples count by their tiles."""
    plan, spec = job.plan, job.plan.local.own(GradientSpec)
    net = Differentiable(spec=plan.network, sample=plan.sample, classes=len(plan.classes), engine=job.engine)
    real = real_set(plan, job.samples)
    begin, momentum, parameters = 0, torch.zeros_like(samples), {}
    if found := job.checkpoint.found():
        begin, samples, momentum = int(found["done"]), found["samples"].to(samples), found["momentum"].to(samples)
        parameters = {name: value.to(samples) for name, value in within(found, "network").items()}
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
            gradient, loss = sample_gradient(net, parameters, shown_under(plan, samples, labels), wanted, augmentations)
            momentum = spec.momentum * momentum + gradient
            samples = samples - spec.lr * momentum
            if i % spec.restart < spec.restart - 1:
                shown = shown_under(plan, samples, labels)
                parameters = trained_on(net, parameters, shown, spec.inner, spec.inner_lr, stream)
            report(Event(stage="local", client=job.client, done=i + 1, total=spec.iterations, loss=loss))
            state = {"samples": samples, "momentum": momentum, "done": torch.tensor(i + 1)} | named(
                "network", parameters
            )
            job.checkpoint.keep(partial(dict, state))
    return samples


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


def sample_gradient(
    net: Differentiable,
    parameters: Mapping[str, Tensor],
    shown: Shown,
    wanted: Mapping[int, Parameters],
    augmentations: Mapping[int, Augmentation | None],
) -> tuple[Tensor, float]:
    """Gradient [n, *shape] at the samples of the distances summed over the classes in `wanted`, and that sum.

    Class by class, so that the graph of one class is held at a time.
    """
    samples, labels, sample = shown.samples, shown.labels, shown.sample
    gradient, total = torch.zeros_like(samples), 0.0
    for y, real in wanted.items():
        rows = (labels == y).nonzero().flatten()
        if not len(rows):
            continue
        leaf = samples[rows].detach().requires_grad_()
        seen = sample.augment(sample.expand(leaf, shown.tiles), augmentations[y])
        synthetic = net.gradient_with_graph(parameters, seen, labels.new_full((len(seen),), y))
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
    """Parameters after `steps` of plain gradient descent on batches of at most 256 of the (expanded) samples."""
    training, current = shown.training_set(), dict(parameters)
    for _ in range(steps):
        rows = stream.choose(len(training.labels), 256)
        augmentation = draw_augmentation(stream, shown.augment, len(rows))
        gradient, _ = net.gradient(current, training, rows, augmentation)
        current = {name: value - lr * gradient[name] for name, value in current.items()}
    return current
