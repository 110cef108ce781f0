"""A slow, independent reading of the method: float64, one sample at a time, one optimizer step at a time.

It shares nothing with the library but what the two sides draw from the plan: parameter values of an encoder, the
operation and uniform numbers of an augmentation, the indices of a batch, the participants of a seed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from beartype import beartype
from jaxtyping import Float64, jaxtyped
from torch import Tensor
from torch.nn import functional

from collabdm.data import Samples
from collabdm.images.modality import Images
from collabdm.modality import Augmentation, draw_augmentation
from collabdm.networks import build_network, initial_parameters
from collabdm.protocol import Contribution, Plan, fingerprint
from collabdm.randomness import Stream

OPERATIONS = ("colour", "crop", "cutout", "flip", "scale", "rotate")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a class is matched to: mean and mean square of the embeddings of `drawn` real samples."""

    mean: Tensor
    square: Tensor
    drawn: int
    augmentation: Augmentation | None

    def variance(self) -> Tensor:
        """Population variance."""
        return self.square - self.mean * self.mean


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One seed's work: what to match under which encoder, how fast, and with which images (all by default)."""

    seed: int
    aims: Mapping[int, Aim]
    lr: float
    chosen: Mapping[int, Sequence[int]] | None = None


def small_plan(**changes: Any) -> Plan:
    """Three clients, three classes of 3x8x12 images, a ConvNet of depth 2 and width 8; `changes` go on top.

    Those of `sample` go on top of the images' facts.
    """
    sample: dict[str, Any] = {
        "kind": "images",
        "channels": 3,
        "height": 8,
        "width": 12,
        "normalisation": {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)},
    }
    fields: dict[str, Any] = {
        "seed": 11,
        "clients": ("ada", "bob", "cid"),
        "classes": ("class 0", "class 1", "class 2"),
        "network": {"name": "convnet", "width": 8, "depth": 2},
        "ipc": 2,
        "seeds": 3,
        "batch": 4,
        "encoding": "fp32",
        "local": {"iterations": 0},
    }
    return Plan.model_validate(fields | changes | {"sample": sample | changes.get("sample", {})})


_fingerprint = lru_cache(maxsize=64)(fingerprint)


def made_up(plan: Plan, client: str, held: Sequence[int], *, images: Sequence[int] | None = None) -> Contribution:
    """A contribution of unrelated numbers: `images` synthetic ones per class (one of each held by default)."""
    counts = [min(1, count) for count in held] if images is None else list(images)
    labels = np.repeat(np.arange(len(held)), counts).astype(np.int64)
    stream = Stream(5, "made up", client)
    parameters = encoder_parameters(plan, 0)
    features = embed_one(parameters, torch.zeros(plan.sample.shape, dtype=torch.float64)).numel()
    groups = 1 if plan.statistic.pooled else sum(count > 0 for count in held)
    shape = (len(plan.assigned(client)), groups, plan.statistic.rows(features), features)
    return Contribution(
        client=client,
        held=np.array(held, np.int64),
        statistics=stream.uniform(shape).astype(np.float32),
        samples=stream.uniform((len(labels), *plan.sample.shape), -2, 2).astype(np.float32),
        labels=labels,
        fingerprint=_fingerprint(plan),
    )


def relative_error(got: Tensor | np.ndarray | float, expected: Tensor | np.ndarray | float) -> float:
    """The L2 norm of the difference over that of the expected; the norm itself where nothing is expected."""
    a, b = (torch.as_tensor(value, dtype=torch.float64).flatten() for value in (got, expected))
    assert a.shape == b.shape
    assert bool(torch.isfinite(a).all())
    scale = float(b.norm())
    return float((a - b).norm()) / (scale if scale > 0 else 1.0)


@lru_cache(maxsize=64)
def encoder_parameters(plan: Plan, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution, float64."""
    network = build_network(plan.network, plan.sample.shape, classes=1)
    values = initial_parameters(network, Stream(seed, "encoder"), embedding=True)
    names = [name for name, value in values.items() if value.dim() == 4]
    return [(values[name].double(), values[name.replace("weight", "bias")].double()) for name in names]


@jaxtyped(typechecker=beartype)
def embed_one(
    parameters: Sequence[tuple[Tensor, Tensor]], image: Float64[Tensor, "c h w"]
) -> Float64[Tensor, "features"]:
    """ConvNet: convolution, instance norm at its initial 1 and 0, ReLU, 2x2 average pooling; flattened."""
    for weight, bias in parameters:
        image = functional.conv2d(image[None], weight, bias, padding=1)[0]
        deviation = image - image.mean(dim=(1, 2), keepdim=True)
        image = deviation / ((deviation * deviation).mean(dim=(1, 2), keepdim=True) + 1e-5).sqrt()
        image = image * (image > 0)
        height, width = image.shape[1] // 2 * 2, image.shape[2] // 2 * 2
        image = image[:, :height, :width]
        image = (image[:, ::2, ::2] + image[:, 1::2, ::2] + image[:, ::2, 1::2] + image[:, 1::2, 1::2]) / 4
    return image.reshape(-1)


@jaxtyped(typechecker=beartype)
def real_image(plan: Plan, samples: Samples, index: int) -> Float64[Tensor, "c h w"]:
    """Normalised pixels of one real image."""
    pixels = samples.values[index].astype(np.float64)
    if samples.values.dtype == np.uint8:
        pixels = pixels / 255
    assert isinstance(plan.sample, Images)
    constants = plan.sample.normalisation
    planes = [(plane - mean) / std for plane, mean, std in zip(pixels, constants.mean, constants.std, strict=True)]
    return torch.from_numpy(np.stack(planes))


@jaxtyped(typechecker=beartype)
def augment_one(image: Float64[Tensor, "c h w"], augmentation: Augmentation | None) -> Float64[Tensor, "c h w"]:
    """The drawn operation with its shared numbers, as the text of the method describes it."""
    if augmentation is None:
        return image
    u, v, w = (float(number) for number in augmentation.uniforms[0])
    channels, height, width = image.shape
    if augmentation.operation == "colour":
        image = image + (u - 0.5)
        grey = sum(image[c] for c in range(channels)) / channels
        image = torch.stack([grey + (image[c] - grey) * (2 * v) for c in range(channels)])
        mean = image.sum() / image.numel()
        return mean + (image - mean) * (0.5 + w)
    if augmentation.operation == "flip":
        return image[:, :, list(range(width))[::-1]] if u < 0.5 else image
    if augmentation.operation == "crop":
        pad_rows, pad_columns = int(height * 0.125 + 0.5), int(width * 0.125 + 0.5)
        down = int(u * (2 * pad_rows + 1)) - pad_rows
        right = int(v * (2 * pad_columns + 1)) - pad_columns
        padded = torch.zeros(channels, height + 2 * pad_rows, width + 2 * pad_columns, dtype=torch.float64)
        padded[:, pad_rows : pad_rows + height, pad_columns : pad_columns + width] = image
        top, left = pad_rows + down, pad_columns + right
        return padded[:, top : top + height, left : left + width]
    if augmentation.operation == "cutout":
        mask = torch.ones(height, width, dtype=torch.float64)
        hole_rows, hole_columns = int(height * 0.5 + 0.5), int(width * 0.5 + 0.5)
        top = int(u * (height + 1 - hole_rows % 2)) - hole_rows // 2
        left = int(v * (width + 1 - hole_columns % 2)) - hole_columns // 2
        for i in range(height):
            for j in range(width):
                if top <= i < top + hole_rows and left <= j < left + hole_columns:
                    mask[i, j] = 0
        return image * mask
    if augmentation.operation == "scale":
        across, along = (1 / 1.2 + number * (1.2 - 1 / 1.2) for number in (u, v))
        return _affine(image, across, 0.0, 0.0, along)
    assert augmentation.operation == "rotate"
    angle = math.radians(-15 + 30 * u)
    return _affine(image, math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle))


def _affine(image: Tensor, xx: float, xy: float, yx: float, yy: float) -> Tensor:
    """Bilinear sampling about the centre, in coordinates where the image spans -1 to 1; zero outside."""
    _, height, width = image.shape
    matrix = _sampling(height, width, xx, xy, yx, yy)
    return (image.reshape(len(image), -1) @ matrix.T).reshape(image.shape)


@lru_cache(maxsize=64)
def _sampling(height: int, width: int, xx: float, xy: float, yx: float, yy: float) -> Tensor:
    matrix = torch.zeros(height * width, height * width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            x, y = (2 * j + 1) / width - 1, (2 * i + 1) / height - 1
            column = ((xx * x + xy * y + 1) * width - 1) / 2
            row = ((yx * x + yy * y + 1) * height - 1) / 2
            for a in (math.floor(row), math.floor(row) + 1):
                for b in (math.floor(column), math.floor(column) + 1):
                    if 0 <= a < height and 0 <= b < width:
                        matrix[i * width + j, a * width + b] += (1 - abs(row - a)) * (1 - abs(column - b))
    return matrix


@jaxtyped(typechecker=beartype)
def expand_one(image: Float64[Tensor, "c h w"], factor: int) -> list[Float64[Tensor, "c h w"]]:
    """The tiles of one stored image, row by row, each resized to the full side."""
    _, height, width = image.shape
    tiles = []
    for i in range(factor):
        for j in range(factor):
            top, bottom = (math.floor(k * height / factor + 0.5) for k in (i, i + 1))
            left, right = (math.floor(k * width / factor + 0.5) for k in (j, j + 1))
            rows, columns = _resize(bottom - top, height), _resize(right - left, width)
            tiles.append(rows @ image[:, top:bottom, left:right] @ columns.T)
    return tiles


@lru_cache(maxsize=64)
def _resize(size: int, target: int) -> Tensor:
    """Bilinear enlargement of one axis, pixel centres at halves."""
    matrix = torch.zeros(target, size, dtype=torch.float64)
    for i in range(target):
        place = max((i + 0.5) * size / target - 0.5, 0.0)
        low = min(int(place), size - 1)
        matrix[i, low] += 1 - (place - low)
        matrix[i, min(low + 1, size - 1)] += place - low
    return matrix


def pack_one(images: Sequence[Tensor], factor: int) -> Tensor:
    """The inverse start: `factor**2` images shrunk (triangle filter) into the tiles of one; sides that divide."""
    _, height, width = images[0].shape
    packed = torch.zeros_like(images[0])
    rows, columns = _shrink(height, height // factor), _shrink(width, width // factor)
    for k, image in enumerate(images):
        top, left = k // factor * (height // factor), k % factor * (width // factor)
        packed[:, top : top + height // factor, left : left + width // factor] = rows @ image @ columns.T
    return packed


@lru_cache(maxsize=64)
def _shrink(size: int, target: int) -> Tensor:
    scale = size / target
    matrix = torch.zeros(target, size, dtype=torch.float64)
    for i in range(target):
        for j in range(size):
            matrix[i, j] = max(0.0, 1 - abs((j + 0.5) - (i + 0.5) * scale) / scale)
    return matrix / matrix.sum(dim=1, keepdim=True)


def real_aim(plan: Plan, samples: Samples, rows: Iterable[int], seed: int, augmentation: Augmentation | None) -> Aim:
    """Mean and mean square over the embeddings of the real samples at `rows`, one after the other."""
    parameters = encoder_parameters(plan, seed)
    total, squares, count = torch.zeros(()), torch.zeros(()), 0
    for row in rows:
        embedding = embed_one(parameters, augment_one(real_image(plan, samples, int(row)), augmentation))
        total, squares, count = total + embedding, squares + embedding * embedding, count + 1
    return Aim(mean=total / count, square=squares / count, drawn=count, augmentation=augmentation)


def client_aims(plan: Plan, client: str, samples: Samples) -> dict[tuple[int, int], Aim]:
    """L_k: by (t, y), for the client's seeds and the classes it holds."""
    aims = {}
    for t in range(plan.seeds):
        if client not in plan.participants(t):
            continue
        for y in range(len(plan.classes)):
            rows = [i for i, label in enumerate(samples.labels) if label == y]
            if not rows:
                continue
            drawn = Stream(plan.seed, "batch", client, t, y).choose(len(rows), plan.batch)
            chosen = [rows[i] for i in drawn]
            aims[t, y] = real_aim(plan, samples, chosen, plan.encoder_seed(t), plan.augmentation(t, y))
    return aims


def global_aims(
    plan: Plan,
    holders: Mapping[str, Samples],
    aims: Mapping[str, Mapping[tuple[int, int], Aim]],
    weighting: str,
) -> list[dict[int, Aim]]:
    """sum_k w_k m_k / sum_k w_k over participants, per seed, for the classes that one of them holds."""
    result: list[dict[int, Aim]] = []
    for t in range(plan.seeds):
        covered: dict[int, Aim] = {}
        for y in range(len(plan.classes)):
            mean, square, weights, drawn = torch.zeros(()), torch.zeros(()), 0.0, 0
            for client in plan.participants(t):
                if (t, y) not in aims.get(client, {}):
                    continue
                aim = aims[client][t, y]
                weight = float((holders[client].labels == y).sum()) if weighting == "count" else 1.0
                mean, square = mean + weight * aim.mean, square + weight * aim.square
                weights, drawn = weights + weight, drawn + aim.drawn
            if drawn:
                covered[y] = Aim(
                    mean=mean / weights,
                    square=square / weights,
                    drawn=drawn,
                    augmentation=plan.augmentation(t, y),
                )
        result.append(covered)
    return result


def class_loss(statistic: str, aim: Aim, embeddings: Sequence[Tensor]) -> Tensor:
    """Squared distance of means, and with `moments` of standard deviations where both sides have two samples."""
    n = len(embeddings)
    mean = sum(embeddings[1:], embeddings[0]) / n
    loss = ((aim.mean - mean) ** 2).sum()
    if statistic == "moments" and n > 1 and aim.drawn > 1:
        real = (aim.variance().clamp_min(0) * aim.drawn / (aim.drawn - 1)).sqrt()
        loss = loss + ((real - torch.stack(list(embeddings)).std(dim=0)) ** 2).sum()
    return loss


def synthetic_loss(
    plan: Plan, images: Tensor, rows: Iterable[int], seed: int, aim: Aim, statistic: str, factor: int
) -> Tensor:
    """L_t^y of the stored images at `rows`."""
    parameters = encoder_parameters(plan, seed)
    embeddings = [
        embed_one(parameters, augment_one(tile, aim.augmentation))
        for row in rows
        for tile in expand_one(images[row], factor)
    ]
    return class_loss(statistic, aim, embeddings)


def optimise(
    plan: Plan,
    images: Tensor,
    labels: Sequence[int],
    turns: Iterable[Turn],
    *,
    statistic: str,
    factor: int,
    momentum: float,
    step: str,
) -> tuple[Tensor, list[dict[int, float]]]:
    """Lines 8-14 with torch's own optimizer, all images being one parameter; the losses by class of every turn."""
    parameter = images.detach().double().clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], lr=1.0, momentum=momentum)
    history = []
    for turn in turns:
        for group in optimizer.param_groups:
            group["lr"] = turn.lr
        parts = [[y] for y in sorted(turn.aims)] if step == "per-class" else [sorted(turn.aims)]
        losses: dict[int, float] = {}
        for part in parts:
            parameter.grad = torch.zeros_like(parameter)
            for y in part:
                rows = [i for i, label in enumerate(labels) if label == y] if turn.chosen is None else turn.chosen[y]
                loss = synthetic_loss(plan, parameter, rows, turn.seed, turn.aims[y], statistic, factor)
                loss.backward()
                losses[y] = loss.item()
            optimizer.step()
        history.append(losses)
    return parameter.detach(), history


def local_turns(plan: Plan, client: str, samples: Samples) -> list[Turn]:
    """The local stage: the client's own statistics again and again (`reuse`), or fresh batches and encoders."""
    spec = plan.local
    classes = [y for y in range(len(plan.classes)) if (samples.labels == y).any()]
    seeds = [t for t in range(plan.seeds) if client in plan.participants(t)]
    turns: list[Turn] = []
    if spec.reuse and seeds:
        own = client_aims(plan, client, samples)
        order: list[int] = []
        while len(order) < spec.iterations:
            passes = len(order) // len(seeds)
            order += [seeds[i] for i in Stream(plan.seed, "local-order", client, passes).permutation(len(seeds))]
        for t in order[: spec.iterations]:
            turns.append(Turn(seed=plan.encoder_seed(t), aims={y: own[t, y] for y in classes}, lr=spec.lr))
        return turns
    for i in range(spec.iterations):
        seed = int(Stream(plan.seed, "local-alpha", client, i).raw(1)[0] >> 11)
        aims = {}
        for y in classes:
            rows = [index for index, label in enumerate(samples.labels) if label == y]
            drawn = Stream(plan.seed, "local-batch", client, i, y).choose(len(rows), spec.batch)
            augmentation = draw_augmentation(Stream(seed, "augment", y), plan.augment)
            aims[y] = real_aim(plan, samples, [rows[j] for j in drawn], seed, augmentation)
        turns.append(Turn(seed=seed, aims=aims, lr=spec.lr))
    return turns
