"""The yardstick: the same loops in plain eager float32 torch, class by class, at the authors' batch sizes.

Written from the paper's Algorithm 1 in the shape of the published dataset-distillation code: torch's own layers, one
network call per class, no chunks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from collabdm.images.augment import OPERATIONS
from collabdm.images.partition_expand import expand
from collabdm.modality import Augmentation, draw_augmentation
from collabdm.randomness import Stream

CLASSES = 10
WIDTH = 128


def network(device: torch.device) -> nn.Sequential:
    """ConvNet-3-128 for 32x32x3 with a classifier, freshly drawn."""
    layers: list[nn.Module] = []
    for channels in (3, WIDTH, WIDTH):
        layers += [nn.Conv2d(channels, WIDTH, 3, padding=1), nn.GroupNorm(WIDTH, WIDTH), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(nn.Sequential(*layers, nn.Flatten()), nn.Linear(2048, CLASSES)).to(device)


def augment(images: Tensor, augmentation: Augmentation | None) -> Tensor:
    """The operation that was drawn."""
    return images if augmentation is None else OPERATIONS[augmentation.operation](images, augmentation.uniforms)


def statistics(real: Tensor, batch: int) -> None:
    """One seed of a client: the mean embedding of `batch` images of every class."""
    body, stream = network(real.device)[0], Stream(0, "bench")
    with torch.no_grad():
        for _ in range(CLASSES):
            drawn = real[torch.randperm(len(real))[:batch]]
            body(augment(drawn, draw_augmentation(stream, tuple(OPERATIONS), 1))).mean(0)


def distillation_step(synthetic: Tensor, real: Tensor | None, real_batch: int, tiles: int) -> None:
    """One step on the images of every class [CLASSES * n, ...]; `real` is embedded again where it is given."""
    body, stream = network(synthetic.device)[0], Stream(0, "bench")
    leaf = synthetic.clone().requires_grad_()
    optimiser = torch.optim.SGD([leaf], lr=1.0, momentum=0.5)
    for part in range(CLASSES):
        drawn = draw_augmentation(stream, tuple(OPERATIONS), 1)
        target = torch.zeros(2048, device=leaf.device)
        if real is not None:
            with torch.no_grad():
                target = body(augment(real[torch.randperm(len(real))[:real_batch]], drawn)).mean(0)
        images = leaf.view(CLASSES, -1, *leaf.shape[1:])[part]
        loss = (body(augment(expand(images, tiles), drawn)).mean(0) - target).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def training_epoch(images: Tensor, labels: Tensor, batch: int) -> None:
    """One epoch of a classifier."""
    model, stream = network(images.device), Stream(0, "bench")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for rows in torch.randperm(len(images)).split(batch):
        shown = augment(images[rows], draw_augmentation(stream, tuple(OPERATIONS), len(rows)))
        optimiser.zero_grad()
        functional.cross_entropy(model(shown), labels[rows]).backward()
        optimiser.step()
