"""The hot path: many samples through one random encoder, forward for statistics, and back to the images.

Every batch is cut into chunks of a fixed size (activations stay in cache, and a compiled graph needs one shape); the
encoder's parameters are arguments of that graph, so one compilation serves every seed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from collabdm.augment import Augmentation, augment
from collabdm.engine import Engine
from collabdm.networks import NetworkSpec, build_network, initial_parameters
from collabdm.pixels import Normalisation, normalised
from collabdm.randomness import Stream
from collabdm.statistics import MOMENTS, moment_means

__all__ = ["Embedder", "class_moments", "compiled", "embedder_for"]

# Samples normalised and augmented at once.
PIECE = 256


class Embedder:
    """A network's body under an engine; `encoder(seed)` gives parameters, `embed` and `moment_sums` use them."""

    def __init__(self, spec: NetworkSpec, shape: tuple[int, int, int], engine: Engine) -> None:
        """`shape`: (C, H, W) of one sample."""
        self.engine = engine
        self.network = build_network(spec, shape, classes=1)
        self._forward = compiled(self._plain, engine)

    @property
    def features(self) -> int:
        """d, the length of one embedding."""
        return self.network.features

    def encoder(self, seed: int) -> dict[str, Tensor]:
        """The random encoder of a seed, ready for this engine (dtype, device, memory format)."""
        parameters = initial_parameters(self.network, Stream(seed, "encoder"), embedding=True)
        return {name: self._place(value) for name, value in parameters.items()}

    def embed(self, encoder: dict[str, Tensor], images: Tensor) -> Tensor:
        """Embeddings [n, d] of normalised images [n, C, H, W]; differentiable in the images, which stay whole."""
        chunks = images.split(self.engine.chunk)
        return torch.cat([self._embed_chunk(encoder, chunk) for chunk in chunks])

    def moment_sums(self, encoder: dict[str, Tensor], batches: Iterable[tuple[int, Tensor]], groups: int) -> Tensor:
        """Sums of embeddings and of their squares over the samples of each group, float64 [groups, 2, d].

        `batches` yields (group, normalised images [n, C, H, W]). Memory: one batch and one chunk, whatever the total.
        """
        total = torch.zeros(groups, 2 * self.features, dtype=torch.float64, device=self.engine.device)
        with torch.no_grad():
            for images, members in self._filled_chunks(batches):
                embeddings = self._embed_chunk(encoder, images)[: len(members)]
                one_hot = functional.one_hot(members, groups).to(embeddings.dtype).T
                total += one_hot @ moment_means(embeddings).flatten(1)
        return total.view(groups, 2, -1).cpu()

    def _embed_chunk(self, encoder: dict[str, Tensor], chunk: Tensor) -> Tensor:
        embeddings = self._forward(encoder, self._place(self._padded(chunk)))
        return embeddings[: len(chunk)].to(self.engine.image_dtype)

    def _filled_chunks(self, batches: Iterable[tuple[int, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Chunks that run across group borders, so that only the very last one is padded."""
        size, images, members, waiting = self.engine.chunk, [], [], 0
        for group, batch in batches:
            for piece in batch.split(size):
                images.append(piece)
                members.append(torch.full((len(piece),), group, device=piece.device))
                waiting += len(piece)
                if waiting >= size:
                    joined, labels = torch.cat(images), torch.cat(members)
                    yield joined[:size], labels[:size]
                    images, members, waiting = [joined[size:]], [labels[size:]], waiting - size
        if waiting:
            joined = torch.cat(images)
            yield self._padded(joined), torch.cat(members)

    def _padded(self, chunk: Tensor) -> Tensor:
        missing = self.engine.chunk - len(chunk)
        if missing == 0 or self.engine.kind == "eager":
            return chunk
        return functional.pad(chunk, (0, 0, 0, 0, 0, 0, 0, missing))

    def _place(self, tensor: Tensor) -> Tensor:
        placed = tensor.to(self.engine.device, self.engine.torch_dtype)
        return placed.contiguous(memory_format=torch.channels_last) if placed.dim() == 4 else placed

    def _plain(self, encoder: dict[str, Tensor], images: Tensor) -> Tensor:
        return functional_call(self.network, encoder, (images,), {"embedding": True}, strict=False)


def class_moments(
    embedder: Embedder,
    encoder: dict[str, Tensor],
    images: np.ndarray,
    drawn: Mapping[int, np.ndarray],
    augmentations: Mapping[int, Augmentation | None],
    normalisation: Normalisation,
) -> np.ndarray:
    """Mean and variance of the embeddings of each class's drawn samples, float64 [classes drawn, 2, d], ascending.

    `images`: all stored pixels [n, C, H, W]; `drawn`: indices into them per class. Pixels are normalised and augmented
    piece by piece, so memory does not grow with the number drawn.
    """
    engine, order = embedder.engine, sorted(drawn)

    def batches() -> Iterator[tuple[int, Tensor]]:
        for group, y in enumerate(order):
            for start in range(0, len(drawn[y]), PIECE):
                piece = images[drawn[y][start : start + PIECE]]
                pixels = normalised(piece, normalisation, device=engine.device, dtype=engine.image_dtype)
                yield group, augment(pixels, augmentations[y])

    sums = embedder.moment_sums(encoder, batches(), len(order))
    counts = torch.tensor([len(drawn[y]) for y in order], dtype=torch.float64).view(-1, 1, 1)
    return MOMENTS.central(sums / counts).numpy()


@lru_cache(maxsize=16)
def embedder_for(spec: NetworkSpec, shape: tuple[int, int, int], engine: Engine) -> Embedder:
    """The same embedder for the same arguments, so that all clients of a process share one compilation."""
    return Embedder(spec, shape, engine)


def compiled(function: Callable[..., Tensor], engine: Engine) -> Callable[..., Tensor]:
    """`function` under the engine: as it is, or compiled for fixed shapes."""
    if engine.kind == "eager":
        return function
    # One entry per (network, shape, with or without gradient); past the limit torch falls back to eager silently.
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    setattr(torch._dynamo.config, limit, max(getattr(torch._dynamo.config, limit), 64))
    return torch.compile(function, dynamic=False)
