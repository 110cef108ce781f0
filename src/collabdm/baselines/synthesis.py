"""Images from models alone: a generator that is trained for every batch to minimise a loss (DENSE, section 3.1)."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from collabdm.baselines.models import Functional
from collabdm.config.rivals import SynthesisSpec
from collabdm.images.pixels import Normalisation

__all__ = ["Generator", "Made", "Objective", "Synthetic", "generator_for", "initial_generator", "synthesise"]

Objective = Callable[[Tensor, Tensor], Tensor]


class Generator(nn.Module):
    """Noise [n, latent] to pixels [n, C, H, W] in (0, 1): a linear layer, then twice doubled and convolved.

    DENSE's generator; its batch norms always normalise by the batch.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int) -> None:
        """`width`: channels of the last hidden layer, half of those before (64 in the paper)."""
        super().__init__()
        channels, self.height, self.width = shape
        self.base = (2 * width, math.ceil(self.height / 4), math.ceil(self.width / 4))
        self.first = nn.Linear(latent, math.prod(self.base))
        self.blocks = nn.Sequential(
            _norm(2 * width),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False),
            _norm(2 * width),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, padding=1, bias=False),
            _norm(width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, noise: Tensor) -> Tensor:
        """A side that four does not divide is cut to size."""
        drawn = self.first(noise).view(-1, *self.base).contiguous(memory_format=torch.channels_last)
        return self.blocks(drawn)[:, :, : self.height, : self.width]


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """A generator's module (for its parameters' shapes), and it as a function."""

    network: Generator
    apply: Functional


class Synthetic(NamedTuple):
    """A batch of images and their labels, and the generator's parameters after it."""

    images: Tensor
    labels: Tensor
    generator: Mapping[str, Tensor]


def generator_for(shape: tuple[int, int, int], settings: SynthesisSpec, dtype: torch.dtype) -> Made:
    """The generator for images of `shape` (C, H, W)."""
    with torch.device("meta"):
        network = Generator(shape, settings.latent, settings.generator_width)
    return Made(network=network, apply=Functional(network, dtype))


def initial_generator(network: Generator, draws: np.random.Generator) -> dict[str, Tensor]:
    """Weights of convolutions and linear layers from N(0, 0.02^2), of norms from N(1, 0.02^2); biases 0."""
    parameters = {}
    for name, value in network.named_parameters():
        centre = 1.0 if value.dim() == 1 else 0.0
        drawn = centre + 0.02 * draws.standard_normal(tuple(value.shape), dtype=np.float32)
        parameters[name] = torch.zeros(value.shape) if name.endswith("bias") else torch.from_numpy(drawn)
    return parameters


def synthesise(
    made: Made,
    objective: Objective,
    settings: SynthesisSpec,
    normalisation: Normalisation,
    *,
    classes: int,
    draws: np.random.Generator,
    device: str,
    generator: Mapping[str, Tensor] | None = None,
) -> Iterator[Synthetic]:
    """Batch after batch of normalised images, and their labels, which are drawn uniformly.

    For each, the generator and fresh noise are trained by Adam to minimise `objective(images, labels)`; of all steps
    the images with the lowest loss are taken. The generator goes on from batch to batch (first from `generator`, the
    parameters after an earlier one), or with `settings.restart` starts anew for each.
    """
    mean, std = (torch.tensor(v, device=device).view(-1, 1, 1) for v in (normalisation.mean, normalisation.std))
    parameters = {name: value.to(device).requires_grad_() for name, value in (generator or {}).items()}
    while True:
        if settings.restart or not parameters:
            initial = initial_generator(made.network, draws)
            parameters = {name: value.to(device).requires_grad_() for name, value in initial.items()}
        noise = torch.from_numpy(draws.standard_normal((settings.batch, settings.latent), dtype=np.float32)).to(device)
        labels = torch.from_numpy(draws.integers(classes, size=settings.batch)).to(device)
        noise.requires_grad_()
        optimiser = torch.optim.Adam([*parameters.values(), noise], lr=settings.generator_lr, betas=(0.5, 0.999))
        lowest, chosen = math.inf, torch.empty(0)
        for _ in range(settings.generator_steps):
            images = (made.apply(parameters, noise) - mean) / std
            loss = objective(images, labels)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), 10.0)
            optimiser.step()
            if float(loss.detach()) < lowest or not len(chosen):
                lowest, chosen = float(loss.detach()), images.detach()
        yield Synthetic(images=chosen, labels=labels, generator=parameters)


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)
