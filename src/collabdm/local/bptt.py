"""Distillation through training, with a random truncated window (RaT-BPTT, Feng et al., ICLR 2024).

A network is trained on the samples for a random number of steps, and the loss on real data after the last of them is
differentiated back through the last few only. Adam's steps are written out, so that they can be differentiated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.engine.workers import torch_threads
from collabdm.local.shown import Shown, real_set, shown_under
from collabdm.local.start import LocalJob
from collabdm.modality import draw_augmentation
from collabdm.progress import Event, Report
from collabdm.protocol import BpttSpec
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import named, optimiser_state, restore_optimiser, within
from collabdm.training.differentiable import Differentiable, Parameters

__all__ = ["AdamState", "adam_step", "bptt_samples", "clipped", "pulled_back", "soft_reset", "trained_through"]

EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class AdamState:
    """Parameters, the running means of gradients and of their squares, and how many steps were taken."""

    parameters: Parameters
    first: Parameters
    second: Parameters
    steps: int = 0

    @staticmethod
    def of(parameters: Parameters) -> "AdamState":
        """The state before the first step."""
        nothing = {name: torch.zeros_like(value) for name, value in parameters.items()}
        return AdamState(parameters=parameters, first=nothing, second=nothing)


def bptt_samples(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial samples [n, *shape] with labels [n], distilled under a plan."""
    plan, spec = job.plan, job.plan.local.own(BpttSpec)
    network = plan.network.model_copy(update={"width": spec.width or plan.network.width})
    net = Differentiable(spec=network, sample=plan.sample, classes=len(plan.classes), engine=job.engine)
    real = real_set(plan, job.samples)
    server = net.fresh(Stream(plan.seed, "server model"))
    found = job.checkpoint.found()
    moving = found.get("samples", samples).detach().to(samples).clone().requires_grad_()
    optimiser, running, begin = torch.optim.Adam([moving], lr=spec.lr), None, 0
    if found:
        running, begin = float(found["running"]), int(found["done"])
        restore_optimiser(optimiser, within(found, "optimiser"))
    with torch_threads(job.engine.threads):
        for i in range(begin, spec.iterations):
            stream = Stream(plan.seed, "bptt", job.client, i)
            start = soft_reset(net, server, spec.reset, stream)
            before = int(stream.integers(spec.unroll - spec.window + 1))
            shown = shown_under(plan, moving, labels)
            end = trained_through(net, start, shown, before, spec.window, spec.inner_lr, spec.per_class, stream)
            rows = stream.choose(len(job.samples), spec.batch)
            augmentation = draw_augmentation(stream, plan.augment, len(rows))
            wanted, loss = net.gradient(end, real, rows, augmentation)
            moving.grad, running = clipped(pulled_back(end, wanted, moving), running, spec.clip)
            optimiser.step()
            report(Event(stage="local", client=job.client, done=i + 1, total=spec.iterations, loss=loss))
            job.checkpoint.keep(partial(_state, moving, optimiser, running, i + 1))
    return moving.detach()


def trained_through(
    net: Differentiable,
    parameters: Parameters,
    shown: Shown,
    before: int,
    window: int,
    lr: float,
    per_class: int,
    stream: Stream,
) -> Parameters:
    """Parameters after `before` + `window` Adam steps on the samples; the graph reaches back through the last `window`.

    Each step sees at most `per_class` stored samples of every class.
    """
    state = AdamState.of(parameters)
    members = {int(y): (shown.labels == y).nonzero().flatten().cpu().numpy() for y in shown.labels.unique()}
    for step in range(before + window):
        chosen = [rows[stream.choose(len(rows), per_class)] for rows in members.values()]
        rows = torch.from_numpy(np.sort(np.concatenate(chosen))).to(shown.labels.device)
        labels = shown.labels[rows].repeat_interleave(shown.tiles**2)
        augmentation = draw_augmentation(stream, shown.augment, len(labels))
        if step < before:
            gradient, _ = net.gradient(state.parameters, shown.training_set(rows), np.arange(len(labels)), augmentation)
        else:
            gradient = net.gradient_with_graph(state.parameters, shown.expanded(rows), labels, augmentation)
        state = adam_step(state, gradient, lr)
    return state.parameters


def adam_step(state: AdamState, gradient: Mapping[str, Tensor], lr: float) -> AdamState:
    """One step of Adam (Kingma & Ba 2015; 0.9, 0.999), differentiable in everything."""
    steps = state.steps + 1
    first = {name: 0.9 * value + 0.1 * gradient[name] for name, value in state.first.items()}
    second = {name: 0.999 * value + 0.001 * gradient[name].square() for name, value in state.second.items()}
    parameters = {}
    for name, value in state.parameters.items():
        mean = first[name] / (1 - 0.9**steps)
        # The small term is within the root: at zero the derivative of a bare root is infinite.
        spread = (second[name] / (1 - 0.999**steps) + EPSILON**2).sqrt()
        parameters[name] = value - lr * mean / (spread + EPSILON)
    return AdamState(parameters=parameters, first=first, second=second, steps=steps)


def pulled_back(end: Mapping[str, Tensor], wanted: Mapping[str, Tensor], samples: Tensor) -> Tensor:
    """The gradient at the samples of a loss whose gradient at the final parameters `end` is `wanted`.

    So the loss may be computed elsewhere: by a client, whose gradient is all that it sends.
    """
    ends = [end[name] for name in sorted(end)]
    return torch.autograd.grad(ends, samples, [wanted[name].to(end[name].dtype) for name in sorted(end)])[0]


def clipped(gradient: Tensor, running: float | None, most: float) -> tuple[Tensor, float]:
    """The gradient with a norm of at most `most` times its running mean (decay 0.9), and the new running mean."""
    norm = float(gradient.norm())
    running = norm if running is None else 0.9 * running + 0.1 * norm
    return gradient * min(1.0, most * running / max(norm, 1e-30)), running


def soft_reset(net: Differentiable, server: Parameters, share: float, stream: Stream) -> Parameters:
    """The server's initial parameters plus `share` of an independent draw from the same distribution, rescaled so that
    the spread stays that of the distribution; norms stay as they are."""
    if share == 0:
        return server
    drawn, scale = net.fresh(stream), (1 + share**2) ** -0.5
    return {
        name: value if torch.equal(value, drawn[name]) else scale * (value + share * drawn[name])
        for name, value in server.items()
    }


def _state(samples: Tensor, optimiser: torch.optim.Adam, running: float, done: int) -> dict[str, Tensor]:
    numbers = {"running": torch.tensor(running, dtype=torch.float64), "done": torch.tensor(done)}
    return {"samples": samples} | named("optimiser", optimiser_state(optimiser)) | numbers
