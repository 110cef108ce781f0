"""How right a trained network stays on test images that are made hard for it: FGSM, PGD, and noise.

Sizes are in pixels, black 0 and white 1; what is attacked stays within them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.images.modality import Images
from collabdm.networks import Architecture, applied, build_network
from collabdm.randomness import Stream

__all__ = ["Attack", "attacked", "attacked_accuracies", "usual_attacks"]

_BATCH = 250


@dataclass(frozen=True, kw_only=True)
class Attack:
    """`kind`: `none`; `fgsm`, one step of `size` along the sign of the loss's gradient; `pgd`, `steps` of a quarter of
    `size` from a random start, never further than `size`; or `noise`, Gaussian with the deviation `size`."""

    kind: str
    size: float = 0.0
    steps: int = 1

    @property
    def label(self) -> str:
        """For tables and JSON."""
        if self.kind == "none":
            return "as they are"
        size = f"{self.size:g}" if self.kind == "noise" else f"{self.size * 255:g}/255"
        return f"{self.kind} {size}" + (f", {self.steps} steps" if self.kind == "pgd" else "")


def usual_attacks() -> tuple[Attack, ...]:
    """What is reported: none, FGSM and PGD (10 steps) at 2/255 and 8/255, noise of 0.1."""
    sizes = (2 / 255, 8 / 255)
    return (
        Attack(kind="none"),
        *(Attack(kind="fgsm", size=size) for size in sizes),
        *(Attack(kind="pgd", size=size, steps=10) for size in sizes),
        Attack(kind="noise", size=0.1),
    )


def attacked_accuracies(
    parameters: Mapping[str, Tensor],
    spec: Architecture[Any],
    test: Samples,
    sample: Images,
    attacks: Sequence[Attack],
    *,
    engine: Engine,
    seed: int,
) -> dict[str, float]:
    """By the attack's label, the share in [0, 1] of the test images that the network still finds; in float32."""
    network = applied(build_network(spec, sample.shape, len(test.classes)), threads=False)
    placed = {name: value.to(engine.device, torch.float32) for name, value in parameters.items()}

    def logits(images: Tensor) -> Tensor:
        return network(placed, images)

    found = {}
    for attack in attacks:
        draws, right = Stream(seed, "attack", attack.label).generator(), 0
        for start in range(0, len(test), _BATCH):
            values = test.values[start : start + _BATCH]
            images = sample.tensors(values, device=engine.device, dtype=torch.float32)
            labels = torch.from_numpy(test.labels[start : start + _BATCH]).to(engine.device)
            images = attacked(images, labels, logits, sample, attack, draws)
            with torch.no_grad():
                right += int((logits(images).argmax(1) == labels).sum())
        found[attack.label] = right / len(test)
    return found


def attacked(
    images: Tensor,
    labels: Tensor,
    logits: Callable[[Tensor], Tensor],
    sample: Images,
    attack: Attack,
    draws: np.random.Generator,
) -> Tensor:
    """Normalised images [n, C, H, W] under the attack on the network that gives `logits`."""
    if attack.kind == "none":
        return images
    # A pixel's size in normalised numbers differs from channel to channel.
    scale = 1 / torch.tensor(sample.normalisation.std, device=images.device).view(-1, 1, 1)
    size, shape = attack.size * scale, tuple(images.shape)
    if attack.kind == "noise":
        return sample.bounded(images + size * torch.from_numpy(draws.standard_normal(shape)).to(images))
    if attack.kind == "fgsm":
        return sample.bounded(images + size * _slope(images, labels, logits).sign())
    start = torch.from_numpy(draws.uniform(-1.0, 1.0, shape)).to(images)
    moved = sample.bounded(images + size * start)
    for _ in range(attack.steps):
        moved = moved + size / 4 * _slope(moved, labels, logits).sign()
        moved = sample.bounded(images + (moved - images).clamp(-size, size))
    return moved


def _slope(images: Tensor, labels: Tensor, logits: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of the loss in the images."""
    with torch.enable_grad():
        moving = images.detach().requires_grad_()
        loss = functional.cross_entropy(logits(moving), labels, reduction="sum")
        return torch.autograd.grad(loss, moving)[0]
