"""Training a classifier in a few lines of plain torch, as the reference for the loop."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from collabdm.engine import REFERENCE, Engine
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.modality import draw_augmentation
from collabdm.networks import build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.training.loop import train
from collabdm.training.recipes import Recipe
from collabdm.training.training_set import TrainingSet
from tiny_runs import TINY_NETWORK

SHAPE, CLASSES, SEED = (1, 8, 8), 3, 17
SAMPLE = Images(channels=1, height=8, width=8, normalisation=Normalisation(mean=(0.4,), std=(0.3,)))
# Eleven samples make an uneven last batch; seven epochs fall to the smaller rate before the fifth.
RECIPE = Recipe(name="test", count=1, epochs=7, lr=0.05, batch=4)


def targets_for(labels: Tensor, *, softness: float = 0.0) -> Tensor:
    """Rows that sum to one: all on the label, or some of it (another share for each sample) on the other classes."""
    one_hot = nn.functional.one_hot(labels, CLASSES).float()
    drawn = torch.from_numpy(Stream(6, "targets").uniform((len(labels), CLASSES), 0.1, 1)).float()
    soft = (1 - softness) * one_hot + softness * drawn
    return soft / soft.sum(dim=1, keepdim=True)


def training_set(*operations: str, count: int = 11) -> TrainingSet:
    images = Stream(3, "images").uniform((count, *SHAPE), -2, 2).astype(np.float32)
    labels = torch.arange(count) % CLASSES
    return TrainingSet(samples=torch.from_numpy(images), labels=labels, sample=SAMPLE, augment=operations)


def plain_network() -> nn.Sequential:
    """A ConvNet of depth 2 and width 8, of torch's own layers."""
    blocks: list[nn.Module] = []
    for channels in (1, 8):
        blocks += [nn.Conv2d(channels, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), nn.AvgPool2d(2)]
    network = nn.Sequential(nn.Sequential(*blocks), nn.Flatten(), nn.Linear(32, CLASSES))
    drawn = initial_parameters(build_network(TINY_NETWORK, SHAPE, CLASSES), Stream(SEED, "network"))
    names = {name: name.replace("body.", "0.").replace("classifier.", "2.") for name in drawn}
    network.load_state_dict({names[name]: value for name, value in drawn.items()})
    return network.double()


def plainly_trained(training: TrainingSet, recipe: Recipe) -> nn.Sequential:
    """By the formulas of the recipes, a whole batch at a time, in float64."""
    network, epochs, size = plain_network(), recipe.epochs, len(training.labels)
    order, drawn, mixes = Stream(SEED, "order"), Stream(SEED, "augment"), Stream(SEED, "mix")
    assert isinstance(training.samples, Tensor)

    def optimiser(lr: float) -> torch.optim.SGD:
        return torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)

    chosen, seen = optimiser(recipe.lr), 0
    for epoch in range(epochs):
        if recipe.schedule == "half-time" and epoch == epochs // 2 + 1:
            chosen = optimiser(recipe.lr * 0.1)  # a new optimiser has no momentum
        rows = torch.from_numpy(order.permutation(size))
        for batch in rows.split(recipe.batch):
            shown = draw_augmentation(drawn, training.augment, len(batch))
            images = SAMPLE.augment(training.samples[batch].double(), shown)
            wanted = training.labels if training.targets is None else training.targets.double()
            chosen.zero_grad()
            plain_loss(network, images, wanted[batch], recipe.mix, mixes).backward()
            if recipe.schedule == "cosine":
                chosen.param_groups[0]["lr"] = recipe.lr * 0.5 * (1 + math.cos(math.pi * seen / (epochs * size)))
            chosen.step()
            seen += len(batch)
    return network


def plain_loss(network: nn.Module, images: Tensor, wanted: Tensor, chance: float, mixes: Stream) -> Tensor:
    """The mean over a batch; mixed, of each sample: its share of the loss for its own label, and the rest of the loss
    for its partner's."""
    if not chance or mixes.uniform() >= chance:
        return nn.CrossEntropyLoss()(network(images), wanted)
    partners = torch.from_numpy(mixes.permutation(len(images)))
    mixed, share = SAMPLE.mix(images, images[partners], mixes.uniform((len(images), 3)))
    each = nn.CrossEntropyLoss(reduction="none")
    said = network(mixed)
    return (share * each(said, wanted) + (1 - share) * each(said, wanted[partners])).mean()


def trained(training: TrainingSet, engine: Engine = REFERENCE, recipe: Recipe = RECIPE, **others: Any) -> Any:
    return train(training, TINY_NETWORK, classes=CLASSES, recipe=recipe, seed=SEED, engine=engine, **others)


def distance(parameters: dict[str, Tensor], network: nn.Sequential) -> float:
    plain = {name.replace("0.", "body.", 1): value for name, value in network.state_dict().items()}
    plain = {("classifier." + name[2:] if name.startswith("2.") else name): value for name, value in plain.items()}
    assert set(plain) == set(parameters)
    return max(float((parameters[name] - value).abs().max()) for name, value in plain.items())


def same_parameters(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)
