"""The hot path: many samples through one random encoder, forward for statistics, and back to the samples.

Every batch is cut into chunks: activations stay in cache, each thread takes whole chunks, and a compiled graph needs
one shape. The encoder's parameters are arguments, so that one compilation serves every seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.engine import Engine
from collabdm.engine.placing import channels_last, uploaded
from collabdm.engine.workers import in_order, torch_threads
from collabdm.kernels import fused_body
from collabdm.matching.statistic import Term, term_rows
from collabdm.modality import Augmentation, Modality
from collabdm.networks import NetworkSpec, applied, build_network, initial_parameters
from collabdm.randomness import Stream

__all__ = ["Embedder", "Transform", "class_sums", "compiled", "embedder_for", "padded"]

# A part of a chunk that lies in one group: (group, first, end), counted within the group.
Segment = tuple[int, int, int]

Transform = Callable[[Tensor], Tensor]
"""What a group of samples passes through before the network sees it: its augmentation, differentiable."""


class Embedder:
    """A network's body under an engine; `encoder(seed)` gives parameters for `embed` and `linearised`."""

    def __init__(self, spec: NetworkSpec, shape: tuple[int, ...], engine: Engine) -> None:
        """`shape`: of one sample; (C, H, W) for images."""
        self.engine = engine
        self.network = build_network(spec, shape, classes=1)
        self._fused = fused_body(self.network, engine.torch_dtype) if engine.fuses else None
        apply = applied(self.network, threads=engine.kind == "eager")
        self._forward = self._fused or compiled(partial(apply, embedding=True), engine)
        self.threads = engine.spread(own=self._fused is not None)

    @property
    def features(self) -> int:
        """d, the length of one embedding."""
        return self.network.features

    def encoder(self, seed: int) -> dict[str, Tensor]:
        """The random encoder of a seed, ready for this engine (dtype, device, memory format)."""
        return self.placed(initial_parameters(self.network, Stream(seed, "encoder"), embedding=True))

    def placed(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Any parameters of the body as `embed` and `linearised` take them."""
        with torch_threads(self.threads.inner):
            if self._fused:
                return self._fused.placed(parameters)
            return {name: self._place(value) for name, value in parameters.items()}

    def embed(self, encoder: dict[str, Tensor], samples: Tensor) -> Tensor:
        """Embeddings [n, d] of samples [n, *shape], without gradient."""

        def chunk(part: Tensor) -> Tensor:
            with torch.no_grad():
                return self._embedded(encoder, self._given(part), len(part))

        return torch.cat(list(in_order(chunk, samples.split(self.engine.chunk), self.threads)))

    def group_sums(
        self,
        encoder: dict[str, Tensor],
        sizes: Sequence[int],
        shown: Callable[[Segment], Tensor],
        terms: Sequence[Term],
    ) -> Tensor:
        """Sums of the `terms` over each group, one after another: float64 [groups, rows, d].

        Group g has `sizes[g]` samples; `shown((g, first, end))` gives those from `first` to `end` as the network takes
        them, [end - first, *shape], and is called by the thread that embeds them. Memory: a chunk a thread.
        """

        def sums(segments: list[Segment]) -> list[tuple[int, Tensor]]:
            with torch.no_grad():
                samples = torch.cat([shown(segment) for segment in segments])
                embeddings = self._embedded(encoder, self._given(samples), len(samples))
                parts = embeddings.split([end - first for _, first, end in segments])
                found = [torch.cat([term.of(part) for term in terms], dim=1).sum(dim=0).double() for part in parts]
            return [(group, one) for (group, _, _), one in zip(segments, found, strict=True)]

        shape = (len(sizes), term_rows(terms, self.features), self.features)
        total = torch.zeros(shape, dtype=torch.float64, device=self.engine.device)
        for done in in_order(sums, _chunks(sizes, self.engine.chunk), self.threads):
            for group, one in done:
                total[group] += one
        return total.cpu()

    def linearised(
        self,
        encoder: dict[str, Tensor],
        samples: Tensor,
        sizes: Sequence[int],
        transforms: Sequence[Transform],
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Embeddings [n, d] of samples [n, *shape] after augmentation, and the way back.

        The samples are those of group 0, of group 1, ...: `sizes[g]` each, with the transform of the group. The
        function returned takes a gradient at the embeddings to the gradient at the samples. Activations of all n
        samples are held until it is dropped.
        """
        starts = np.cumsum([0, *sizes])

        def forward(segments: list[Segment]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            (group, first, _), (last, _, end) = segments[0], segments[-1]
            leaf = samples[starts[group] + first : starts[last] + end].detach().requires_grad_()
            with torch.enable_grad():
                parts = leaf.split([end - first for _, first, end in segments])
                shown = [transforms[g](part) for (g, _, _), part in zip(segments, parts, strict=True)]
                given = self._given(torch.cat(shown))
                # Cut in two: a graph of torch's compiler wants its input to be a leaf.
                seen = given.detach().requires_grad_()
                return leaf, given, seen, self._embedded(encoder, seen, len(leaf))

        def backward(held: tuple[Tensor, ...]) -> Tensor:
            leaf, given, seen, embeddings, at_embeddings = held
            (at_seen,) = torch.autograd.grad(embeddings, seen, at_embeddings)
            return torch.autograd.grad(given, leaf, at_seen)[0]

        chunk = _even(sum(sizes), self.engine.chunk) if self._fused else self.engine.chunk
        held = list(in_order(forward, _chunks(sizes, chunk), self.threads))

        def back(at_embeddings: Tensor) -> Tensor:
            parts = at_embeddings.split([len(chunk[0]) for chunk in held])
            work = ((*chunk, part) for chunk, part in zip(held, parts, strict=True))
            return torch.cat(list(in_order(backward, work, self.threads)))

        return torch.cat([embeddings.detach() for *_, embeddings in held]), back

    def _given(self, samples: Tensor) -> Tensor:
        """Samples as the network takes them."""
        return samples if self._fused else self._place(padded(samples, self.engine))

    def _embedded(self, encoder: dict[str, Tensor], given: Tensor, count: int) -> Tensor:
        """Embeddings [count, d] of what `_given` made of a chunk of `count` samples."""
        return self._forward(encoder, given)[:count].to(self.engine.sample_dtype)

    def _place(self, tensor: Tensor) -> Tensor:
        placed = uploaded(tensor, torch.device(self.engine.device), self.engine.torch_dtype)
        return channels_last(placed) if placed.dim() == 4 else placed


def class_sums(
    embedder: Embedder,
    encoder: dict[str, Tensor],
    values: np.ndarray,
    drawn: Mapping[int, np.ndarray],
    augmentations: Mapping[int, Augmentation | None],
    sample: Modality,
    terms: Sequence[Term],
) -> Tensor:
    """Sums of the `terms` over each class's drawn samples: float64 [classes drawn, rows, d], classes ascending.

    `values`: all samples as they are stored; `drawn`: indices into them per class. They become tensors and are
    augmented chunk by chunk, so memory does not grow with the number drawn.
    """
    engine, order = embedder.engine, sorted(drawn)

    def shown(segment: Segment) -> Tensor:
        group, first, end = segment
        y = order[group]
        placed = sample.tensors(values[drawn[y][first:end]], device=engine.device, dtype=engine.sample_dtype)
        return sample.augment(placed, augmentations[y])

    return embedder.group_sums(encoder, [len(drawn[y]) for y in order], shown, terms)


@lru_cache(maxsize=16)
def embedder_for(spec: NetworkSpec, shape: tuple[int, ...], engine: Engine) -> Embedder:
    """The same embedder for the same arguments, so that all clients of a process share one compilation."""
    return Embedder(spec, shape, engine)


def compiled(function: Callable[..., Tensor], engine: Engine) -> Callable[..., Tensor]:
    """`function` under the engine: as it is, or compiled by torch for fixed shapes."""
    if engine.kind == "eager":
        return function
    # One entry per (network, shape, with or without gradient); past the limit torch falls back to eager silently.
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    setattr(torch._dynamo.config, limit, max(getattr(torch._dynamo.config, limit), 64))
    return torch.compile(function, dynamic=False)


def padded(samples: Tensor, engine: Engine) -> Tensor:
    """At most a chunk of samples, filled up to a whole one where torch compiled for that shape."""
    missing = engine.chunk - len(samples)
    if missing == 0 or engine.kind == "eager":
        return samples
    return functional.pad(samples, [0, 0] * (samples.dim() - 1) + [0, missing])


def _even(total: int, chunk: int) -> int:
    """At most `chunk` samples, so many that chunks are all but equal and even in number: then neither of two threads
    waits for the other. Our kernels compute each sample by itself, so in float32 this changes no bit."""
    count = -(-total // chunk)
    return -(-total // (count + count % 2)) if count > 1 else chunk


def _chunks(sizes: Sequence[int], chunk: int) -> Iterator[list[Segment]]:
    """Chunks that run across group borders, so that only the very last one is not full."""
    segments: list[Segment] = []
    room = chunk
    for group, size in enumerate(sizes):
        first = 0
        while first < size:
            end = min(size, first + room)
            segments.append((group, first, end))
            room -= end - first
            first = end
            if room == 0:
                yield segments
                segments, room = [], chunk
    if segments:
        yield segments
