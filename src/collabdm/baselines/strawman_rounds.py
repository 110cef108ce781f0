"""One round of collaborative distillation (section 4.1): a network goes down, gradients come up, the set moves.

Both forms compute what a server with all the data would, up to the batches drawn and the rounding of messages.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collabdm.baselines.messages import packed, unpacked
from collabdm.config.rivals import StrawmanSpec
from collabdm.local.bptt import AdamState, adam_step, clipped, pulled_back, trained_through
from collabdm.local.gradient import class_gradient, sample_gradient, trained_on
from collabdm.local.shown import shown_under
from collabdm.modality import draw_augmentation
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.training.differentiable import Differentiable, Parameters
from collabdm.training.training_set import TrainingSet

__all__ = ["Cost", "Federation", "State", "matched_round", "meta_round"]

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Federation:
    """Plan, settings, network, and what each client has: its samples, and how many of each class."""

    plan: Plan
    spec: StrawmanSpec
    net: Differentiable
    data: Mapping[str, TrainingSet]
    held: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cost:
    """Bytes down and up and the clients' seconds, each float64 [clients], clients in sorted order."""

    down: np.ndarray
    up: np.ndarray
    seconds: np.ndarray

    def plus(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(down=self.down + other.down, up=self.up + other.up, seconds=self.seconds + other.seconds)


def matched_round(federation: Federation, state: State, labels: Tensor, number: int) -> tuple[State, Cost]:
    """Collaborative gradient matching: the clients' class gradients are averaged by the samples that they hold.

    `state`: `samples`, `momentum`, and the network as `net.<name>`.
    """
    plan, spec, net = federation.plan, federation.spec, federation.net
    stream = Stream(plan.seed, "strawman", number)
    fresh = number % spec.restart == 0
    parameters = net.fresh(stream) if fresh else {n[4:]: v for n, v in state.items() if n.startswith("net.")}
    augmentations = {y: draw_augmentation(stream, plan.augment) for y in range(len(plan.classes))}

    def answer(client: str, received: Parameters) -> dict[str, Tensor]:
        replies = {}
        for y in np.flatnonzero(federation.held[client]).tolist():
            rows = _batch(federation, client, number, y)
            gradient = class_gradient(net, received, federation.data[client], rows, augmentations[y])
            replies |= {f"{y}.{name}": value for name, value in gradient.items()}
        return replies

    parameters, answers, cost = _exchange(federation, parameters, answer)
    wanted = {}
    for y in range(len(plan.classes)):
        holders = {c: float(held[y]) for c, held in federation.held.items() if held[y]}
        if holders:
            of_class = {
                c: {n.partition(".")[2]: v for n, v in answers[c].items() if n.partition(".")[0] == str(y)}
                for c in holders
            }
            wanted[y] = _mean(of_class, holders)
    gradient, _ = sample_gradient(net, parameters, shown_under(plan, state["samples"], labels), wanted, augmentations)
    momentum = spec.momentum * state["momentum"] + gradient
    samples = state["samples"] - spec.lr * momentum
    trained = trained_on(net, parameters, shown_under(plan, samples, labels), spec.inner, spec.inner_lr, stream)
    network = {f"net.{name}": value for name, value in trained.items()}
    return {"samples": samples, "momentum": momentum} | network, cost


def meta_round(federation: Federation, state: State, labels: Tensor, number: int) -> tuple[State, Cost]:
    """Collaborative meta-learning: a fresh network is trained on the set, the clients send the gradient of their loss
    at its end, and the server takes that back through the training.

    `state`: `samples`, Adam's means `first` and `second`, and the running norm of the gradient, `norm` (0: none yet).
    """
    plan, spec, net = federation.plan, federation.spec, federation.net
    stream = Stream(plan.seed, "strawman", number)
    moving = state["samples"].detach().requires_grad_()
    window = min(spec.window, spec.unroll)
    before = int(stream.integers(spec.unroll - window + 1))
    shown = shown_under(plan, moving, labels)
    end = trained_through(net, net.fresh(stream), shown, before, window, spec.inner_lr, plan.ipc, stream)

    def answer(client: str, received: Parameters) -> Parameters:
        rows = _batch(federation, client, number, None)
        drawn = draw_augmentation(Stream(plan.seed, "strawman", number, client), plan.augment, len(rows))
        return net.gradient(received, federation.data[client], rows, drawn)[0]

    _, answers, cost = _exchange(federation, {name: value.detach() for name, value in end.items()}, answer)
    wanted = _mean(answers, {client: float(held.sum()) for client, held in federation.held.items()})
    norm = float(state["norm"])
    gradient, norm = clipped(pulled_back(end, wanted, moving), norm or None, 2.0)
    adam = AdamState(
        parameters={"samples": state["samples"]},
        first={"samples": state["first"]},
        second={"samples": state["second"]},
        steps=number,
    )
    after = adam_step(adam, {"samples": gradient}, spec.lr)
    moved = {name: part["samples"] for name, part in (("first", after.first), ("second", after.second))}
    return {"samples": after.parameters["samples"], "norm": torch.tensor(norm, dtype=torch.float64)} | moved, cost


def _exchange(
    federation: Federation, parameters: Parameters, answer: Callable[[str, Parameters], Mapping[str, Tensor]]
) -> tuple[Parameters, dict[str, dict[str, Tensor]], Cost]:
    """The parameters as every client reads them, every client's answer as the server reads it, and what it cost."""
    encoding, engine = federation.plan.encoding, federation.net.engine
    message = packed(parameters, encoding)
    received, answers, up, seconds = unpacked(message, engine), {}, [], []
    for client in sorted(federation.data):
        started = time.perf_counter()
        reply = packed(answer(client, received), encoding)
        seconds.append(time.perf_counter() - started)
        up.append(len(reply))
        answers[client] = unpacked(reply, engine)
    down = np.full(len(answers), float(len(message)))
    return received, answers, Cost(down=down, up=np.array(up, np.float64), seconds=np.array(seconds))


def _batch(federation: Federation, client: str, number: int, y: int | None) -> np.ndarray:
    labels = federation.data[client].labels.numpy()
    rows = np.arange(len(labels)) if y is None else np.flatnonzero(labels == y)
    stream = Stream(federation.plan.seed, "strawman-batch", client, number, -1 if y is None else y)
    return rows[stream.choose(len(rows), federation.spec.batch)]


def _mean(answers: Mapping[str, Mapping[str, Tensor]], weights: Mapping[str, float]) -> Parameters:
    """The mean by weights, in float64 over the clients in sorted order."""
    clients, total = sorted(weights), sum(weights[client] for client in sorted(weights))

    def mean(name: str) -> Tensor:
        return torch.stack([answers[c][name].double() * (weights[c] / total) for c in clients]).sum(dim=0)

    return {name: mean(name).to(value.dtype) for name, value in answers[clients[0]].items()}
