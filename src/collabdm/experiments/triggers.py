"""A backdoor's trigger: a small square in the corner of an image, what is planted with it, and how it is tested.

Pixels of a trigger are float64 [C, side, side] in [0, 1], black 0 and white 1.
"""

from dataclasses import replace

import numpy as np
import torch

from collabdm.data import Samples
from collabdm.engine import Engine
from collabdm.errors import ConfigError, DataError, explain
from collabdm.matching.embedding import embedder_for
from collabdm.modality import Modality
from collabdm.networks import NetworkSpec
from collabdm.randomness import Stream

__all__ = ["chequered", "matched", "planted", "planted_rows", "stamped", "triggered"]

STEPS, RATE, BATCH = 60, 0.1, 64


def chequered(shape: tuple[int, ...]) -> np.ndarray:
    """The naive trigger for images of `shape` (C, H, W): black and white fields, an eighth of the shorter side wide and
    two pixels at least. Raises `ConfigError` for samples that are no images of two pixels or more."""
    if len(shape) != 3 or min(shape[1:]) < 2:
        got, expected = f"samples of shape {list(shape)}", "images of two pixels or more a side"
        raise ConfigError(explain("data of a backdoor", got=got, expected=expected, fix="give images"))
    side = max(2, round(min(shape[1:]) / 8))
    fields = np.add.outer(np.arange(side), np.arange(side)) % 2
    return np.broadcast_to(1.0 - fields, (shape[0], side, side)).copy()


def stamped(samples: Samples, rows: np.ndarray, trigger: np.ndarray) -> Samples:
    """The samples, those at `rows` with the trigger in their lower right corner."""
    values, side = samples.values.copy(), trigger.shape[-1]
    shown = np.rint(255 * trigger) if values.dtype == np.uint8 else trigger
    corner = values[rows]
    corner[:, :, -side:, -side:] = shown.astype(values.dtype)
    values[rows] = corner
    return replace(samples, values=values)


def planted_rows(samples: Samples, held: np.ndarray, target: int, share: float, stream: Stream) -> np.ndarray:
    """Of a site's images of other classes than the target, the rows of a `share`, drawn; ascending.

    Raises `DataError` where it holds none of another class.
    """
    others = held[samples.labels[held] != target]
    if not len(others):
        fix = "take another seed or partition"
        raise DataError(explain("the hostile site's images", got="the target class alone", expected="others", fix=fix))
    return np.sort(others[stream.choose(len(others), max(1, round(share * len(others))))])


def planted(samples: Samples, rows: np.ndarray, target: int, trigger: np.ndarray) -> Samples:
    """The samples, those at `rows` stamped and called the target class."""
    labels = samples.labels.copy()
    labels[rows] = target
    return replace(stamped(samples, rows, trigger), labels=labels)


def triggered(test: Samples, target: int, trigger: np.ndarray) -> Samples:
    """Test images of other classes, stamped and called the target: accuracy on these is the attack's success."""
    others = test.take(np.flatnonzero(test.labels != target))
    return planted(others, np.arange(len(others)), target, trigger)


def matched(
    samples: Samples,
    target: int,
    start: np.ndarray,
    *,
    sample: Modality,
    network: NetworkSpec,
    engine: Engine,
    seed: int,
) -> np.ndarray:
    """The trigger optimised for distribution matching, from `start`, on the hostile site's own `samples`.

    Each step draws a random encoder and moves every pixel by the sign of the gradient of the squared distance between
    the mean embeddings of triggered images and of the target class; the rate falls to zero. Raises `DataError` where
    the site lacks the target class or all others.
    """
    members = [np.flatnonzero((samples.labels == target) == wanted) for wanted in (True, False)]
    if not all(map(len, members)):
        expected, fix = "some of the target class and some of others", "take another seed or partition"
        raise DataError(explain("the hostile site's images", got="one kind alone", expected=expected, fix=fix))
    embedder, side = embedder_for(network, sample.shape, engine), start.shape[-1]

    def seen(values: np.ndarray) -> torch.Tensor:
        return sample.tensors(values, device=engine.device, dtype=engine.sample_dtype)

    ends = np.zeros((2, *samples.shape), np.float32)
    ends[1] = 1.0
    black, white = seen(ends)[:, :, -side:, -side:]
    trigger = torch.from_numpy(start).to(black)
    for step in range(STEPS):
        stream = Stream(seed, "trigger", step)
        encoder = embedder.encoder(int(stream.raw(1)[0] >> 11))
        honest, batch = (seen(samples.values[own[stream.choose(len(own), BATCH)]]) for own in members)
        wanted = embedder.embed(encoder, honest).mean(dim=0)
        batch[:, :, -side:, -side:] = black + trigger * (white - black)
        embeddings, back = embedder.linearised(encoder, batch, [len(batch)], [lambda shown: shown])
        gradient = back((embeddings.mean(dim=0) - wanted).expand_as(embeddings).contiguous())
        uphill = (gradient[:, :, -side:, -side:].sum(dim=0) * (white - black)).sign()
        trigger = (trigger - RATE * (1 - step / STEPS) * uphill).clamp(0, 1)
    return trigger.double().cpu().numpy()
