"""Training one classifier on a small set, and asking it: the recipe of the paper's section 5.1.

Chunks of a batch go through one compiled graph (loss and gradient of the parameters), so an epoch costs what the
machine's convolutions cost. A network with batch norms sees its batches whole, and in plain torch.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.engine import Engine
from collabdm.engine.placing import channels_last
from collabdm.engine.workers import Threads, in_order, torch_threads
from collabdm.kernels import fused_body
from collabdm.matching.embedding import compiled, padded
from collabdm.modality import Augmentation, Modality, draw_augmentation
from collabdm.networks import Architecture, BatchNorm, applied, build_network, initial_parameters, initial_running
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint, named, within
from collabdm.training.mixing import Mixing, draw_mixing, shown_part
from collabdm.training.optimising import Descent
from collabdm.training.recipes import Recipe
from collabdm.training.shuffling import Place, batches
from collabdm.training.training_set import TrainingSet

__all__ = ["logits", "loss_gradient", "train"]


def train(
    training: TrainingSet,
    spec: Architecture[Any],
    *,
    classes: int,
    recipe: Recipe,
    seed: int,
    engine: Engine,
    checkpoint: Checkpoint | None = None,
    tell: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> dict[str, Tensor]:
    """Fresh parameters trained on the set, with the running statistics of its batch norms if it has any; `tell(epoch,
    epochs, mean loss)` after every epoch.

    One augmentation is drawn per batch, with parameters per image; a recipe that mixes then mixes the samples of a
    batch with one another. Initial parameters, order and all draws follow from `seed` alone. With a `checkpoint` an
    interrupted training goes on from it, to the same bits.
    """
    # No larger than a batch: what compiled code takes is filled up to a whole chunk.
    engine = engine.model_copy(update={"chunk": min(engine.chunk, recipe.batch)})
    model, checkpoint = _model(spec, training.shape, classes, engine), checkpoint or Checkpoint()
    found = checkpoint.found()
    initial = within(found, "parameters") or initial_parameters(model.network, Stream(seed, "network"))
    parameters = {
        name: value.to(engine.device, engine.sample_dtype).requires_grad_() for name, value in initial.items()
    }
    running = within(found, "running") or initial_running(model.network)
    running = {name: value.to(engine.device, engine.sample_dtype) for name, value in running.items()}
    size = len(training.labels)
    epochs = recipe.epochs_for(size)
    order, streams = Stream(seed, "order"), {"augmentation": Stream(seed, "augment"), "mixes": Stream(seed, "mix")}
    training.check_teacher(recipe, classes)
    training = training.taught(recipe.teacher)
    soft = recipe.mix or training.teacher is not None
    training = (training.with_targets(classes) if soft else training).placed(engine)
    # Added up where it is computed: asking for it after every batch would make an accelerator wait.
    nothing = torch.zeros((), dtype=torch.float64, device=engine.device)
    begin, total = None, nothing
    if found:
        begin, total = Place.of(within(found, "place")), found["total"].to(nothing)
        for name, stream in streams.items():
            stream.move_to(found[name].numpy())
    descent = Descent(parameters, recipe, size=size, epochs=epochs, epoch=begin.epoch if begin else 0)
    if found:
        descent.restore(within(found, "optimiser"))
    # Elsewhere than in the chunks too: helpers of torch's that have nothing more to do spin beside our workers.
    with torch_threads(model.threads.inner):
        for batch in batches(order, size, recipe.batch, epochs, begin):
            if batch.first:
                total = nothing
            drawn = draw_augmentation(streams["augmentation"], training.augment, len(batch.rows))
            mixing = draw_mixing(streams["mixes"], recipe.mix, len(batch.rows))
            loss = model.set_gradient(parameters, training, batch.rows, drawn, mixing, running)
            total = total + loss.double() * len(batch.rows)
            descent.step(batch)
            if batch.last:
                tell(batch.epoch + 1, epochs, float(total) / size)
            checkpoint.keep(partial(_state, (parameters, running), descent, batch.after, streams, total))
    return {name: value.detach() for name, value in (parameters | running).items()}


def loss_gradient(
    parameters: Mapping[str, Tensor],
    training: TrainingSet,
    rows: np.ndarray,
    spec: Architecture[Any],
    *,
    classes: int,
    augmentation: Augmentation | None,
    engine: Engine,
) -> tuple[dict[str, Tensor], float]:
    """Gradient of the mean cross-entropy over the samples at `rows` with respect to the parameters, and that mean."""
    model = _model(spec, training.shape, classes, engine)
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    loss = model.set_gradient(leaves, training, rows, augmentation)
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}, float(loss)


def logits(
    parameters: Mapping[str, Tensor],
    values: np.ndarray,
    spec: Architecture[Any],
    *,
    classes: int,
    sample: Modality,
    engine: Engine,
    views: Sequence[str] = (),
) -> Tensor:
    """What the network says of stored samples, `values` [n, ...]: [n, classes], on the CPU.

    It is the mean over all views of a sample under the operations `views` (`Modality.views`).
    """
    model = _model(spec, sample.shape, classes, engine)
    placed = model.placed(parameters)

    def said(start: int) -> Tensor:
        given = sample.tensors(values[start : start + engine.chunk], device=engine.device, dtype=engine.sample_dtype)
        shown = sample.views(given, model.network.changed_by(views))
        with torch.no_grad():
            filled = shown if model.fused else [padded(view, engine) for view in shown]
            of_views = torch.stack([model.logits(placed, view)[: len(given)] for view in filled])
            return (of_views.sum(dim=0) / len(shown)).cpu()

    chunks = list(in_order(said, range(0, len(values), engine.chunk), model.threads))
    return torch.cat(chunks) if chunks else torch.empty(0, classes, dtype=engine.sample_dtype)


def _state(
    learned: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    descent: Descent,
    place: Place,
    streams: Mapping[str, Stream],
    total: Tensor,
) -> dict[str, Tensor]:
    """What `train` goes on from; `learned`: the parameters and the running statistics."""
    return (
        named("parameters", learned[0])
        | named("running", learned[1])
        | named("optimiser", descent.state())
        | named("place", place.tensors())
        | {name: torch.from_numpy(stream.position) for name, stream in streams.items()}
        | {"total": total}
    )


class _Model:
    """A classifier's loss and logits under an engine, chunk by chunk.

    A batch norm needs its whole batch, and no rows that only fill it up: its network's batches are one chunk on one
    thread, so that results do not depend on the number of threads, and torch runs it as it is.
    """

    def __init__(self, spec: Architecture[Any], shape: tuple[int, ...], classes: int, engine: Engine) -> None:
        self.network = build_network(spec, shape, classes).eval()
        norms = [name for name, module in self.network.named_modules() if isinstance(module, BatchNorm)]
        self._exact, self._mixes = tuple(f"{name}." for name in norms), bool(norms)
        if self._mixes:
            engine = engine.model_copy(update={"kind": "eager"})
        self.fused = fused_body(self.network, engine.torch_dtype) if engine.fuses else None
        self.threads = engine.spread(own=self.fused is not None)
        self._engine, self._chunks = engine, (engine.chunk, self.threads)
        self._apply = applied(self.network, threads=engine.kind == "eager")
        # Batch norms alone tell training from testing.
        learning = build_network(spec, shape, classes).train() if self._mixes else None
        self._learning = applied(learning, threads=True) if learning else self._apply
        self._chunk_loss = self._loss if self.fused else compiled(self._loss, engine)
        self.logits = self._logits if self.fused else compiled(self._logits, engine)

    def set_gradient(
        self,
        parameters: Mapping[str, Tensor],
        training: TrainingSet,
        rows: np.ndarray,
        augmentation: Augmentation | None,
        mixing: Mixing | None = None,
        running: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Tensor:
        """Set `.grad` of the parameters to the gradient of the mean cross-entropy over a batch; returns that mean.

        Chunks add up in order, whichever thread computed them. `running` statistics of batch norms move in place.
        """
        leaves = list(parameters.values())
        size, threads = (len(rows), Threads(1, 1)) if self._mixes else self._chunks
        # Chunks share what is made of the weights.
        given = {**parameters, **running, **(self.fused.transformed(parameters) if self.fused else {})}
        share = torch.tensor(1.0 / len(rows), dtype=self._engine.sample_dtype, device=leaves[0].device)

        def gradients(start: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            end = start + size
            shown, wanted = shown_part(training, rows, slice(start, end), augmentation, mixing, self._engine)
            filled = shown if self.fused else padded(shown, self._engine)
            targets = _padded_targets(wanted, len(filled))
            with torch.enable_grad():
                loss = self._chunk_loss(given, filled, targets, share)
            return loss.detach(), torch.autograd.grad(loss, leaves, allow_unused=True)

        total = torch.zeros_like(share)
        for leaf in leaves:
            leaf.grad = torch.zeros_like(leaf)
        for loss, grads in in_order(gradients, range(0, len(rows), size), threads):
            total += loss
            for leaf, grad in zip(leaves, grads, strict=True):
                if grad is not None and leaf.grad is not None:
                    leaf.grad += grad
        return total

    def placed(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters in the dtypes that `logits` computes in."""
        if self.fused:
            return self.fused.placed(parameters)
        engine = self._engine
        # A copy of a running statistic in another dtype would move alone.
        return {
            name: value.to(engine.device, None if name.startswith(self._exact) else engine.torch_dtype)
            for name, value in parameters.items()
        }

    def _loss(self, parameters: dict[str, Tensor], samples: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        logits = self._logits(self.placed(parameters), samples, self._learning)
        return functional.cross_entropy(logits, targets, reduction="sum") * share

    def _logits(
        self, parameters: dict[str, Tensor], samples: Tensor, apply: Callable[..., Tensor] | None = None
    ) -> Tensor:
        """[n, classes] for a chunk of samples, from `placed` parameters; `apply`: the network, if not as it tests."""
        if self.fused:
            embeddings = self.fused(parameters, samples).float()
            return functional.linear(embeddings, parameters["classifier.weight"], parameters["classifier.bias"])
        given = samples.to(self._engine.torch_dtype)
        if given.dim() == 4:
            given = channels_last(given)
        return (apply or self._apply)(parameters, given).to(self._engine.sample_dtype)


def _padded_targets(wanted: Tensor, size: int) -> Tensor:
    """Labels or targets for `size` samples of which the last were only filled up: cross-entropy ignores those."""
    missing = size - len(wanted)
    if wanted.dim() == 1:
        return functional.pad(wanted, (0, missing), value=-100)
    return functional.pad(wanted, (0, 0, 0, missing))


@lru_cache(maxsize=16)
def _model(spec: Architecture[Any], shape: tuple[int, ...], classes: int, engine: Engine) -> _Model:
    return _Model(spec, shape, classes, engine)
