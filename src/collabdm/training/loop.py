"""Training one classifier on a small set, and testing it: the recipe of the paper's section 5.1.

Chunks of a batch go through one compiled graph (loss and gradient of the parameters), so an epoch costs what the
machine's convolutions cost.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.engine.workers import in_order
from collabdm.images.augment import Augmentation, augment, draw_augmentation
from collabdm.images.pixels import Normalisation, channels_last, normalised, uploaded
from collabdm.kernels import fused_body
from collabdm.matching.embedding import compiled, padded
from collabdm.networks import NetworkSpec, applied, build_network, initial_parameters
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint, named, optimiser_state, restore_optimiser, within
from collabdm.training.predicting import predictions
from collabdm.training.recipes import Recipe
from collabdm.training.scores import Scores, scores
from collabdm.training.shuffling import Place, batches

__all__ = ["TrainingSet", "logits", "loss_gradient", "test_accuracy", "train"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSet:
    """Labelled images to train on: normalised float32 [n, C, H, W] (already expanded), or real `Samples`."""

    images: Tensor | Samples
    labels: Tensor
    normalisation: Normalisation
    augment: tuple[str, ...]

    def chunk(self, rows: np.ndarray, engine: Engine) -> tuple[Tensor, Tensor]:
        """Normalised images and labels at `rows`, on the engine's device."""
        if isinstance(self.images, Samples):
            pixels = self.images.images[rows]
            images = normalised(pixels, self.normalisation, device=engine.device, dtype=engine.image_dtype)
        else:
            chosen = uploaded(torch.from_numpy(rows), self.images.device)
            images = self.images[chosen].to(engine.device, engine.image_dtype)
        return images, uploaded(self.labels[torch.from_numpy(rows)], torch.device(engine.device))

    def placed(self, engine: Engine) -> "TrainingSet":
        """The same with expanded images where the engine computes: they are few, and shown hundreds of times."""
        if isinstance(self.images, Samples):
            return self
        return dataclasses.replace(self, images=self.images.to(engine.device))

    def digest(self) -> str:
        """SHA-256 over all of it, in hex."""
        images = self.images.images if isinstance(self.images, Samples) else self.images.cpu().numpy()
        facts = [str(images.dtype), images.shape, self.normalisation.model_dump(), self.augment]
        digest = hashlib.sha256(json.dumps(facts).encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(self.labels.cpu().numpy()).data)
        return digest.hexdigest()


def train(
    training: TrainingSet,
    spec: NetworkSpec,
    *,
    classes: int,
    recipe: Recipe,
    seed: int,
    engine: Engine,
    checkpoint: Checkpoint | None = None,
    tell: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> dict[str, Tensor]:
    """Fresh parameters trained on the set; `tell(epoch, epochs, mean loss)` after every epoch.

    One augmentation is drawn per batch, with parameters per image. Initial parameters, order and augmentation follow
    from `seed` alone. With a `checkpoint` an interrupted training goes on from it, to the same bits.
    """
    # No larger than a batch: what compiled code takes is filled up to a whole chunk.
    engine = engine.model_copy(update={"chunk": min(engine.chunk, recipe.batch)})
    model, checkpoint = _model(spec, _shape(training), classes, engine), checkpoint or Checkpoint()
    found = checkpoint.found()
    initial = within(found, "parameters") or initial_parameters(model.network, Stream(seed, "network"))
    parameters = {name: value.to(engine.device, engine.image_dtype).requires_grad_() for name, value in initial.items()}
    size = len(training.labels)
    epochs = recipe.epochs_for(size)
    order, augmentation = Stream(seed, "order"), Stream(seed, "augment")
    training = training.placed(engine)
    # Added up where it is computed: asking for it after every batch would make an accelerator wait.
    nothing = torch.zeros((), dtype=torch.float64, device=engine.device)
    begin, total = None, nothing
    optimiser = _optimiser(parameters, recipe, 0, epochs)
    if found:
        begin, total = Place.of(within(found, "place")), found["total"].to(nothing)
        augmentation.move_to(found["augmentation"].numpy())
        optimiser = _optimiser(parameters, recipe, begin.epoch, epochs)
        restore_optimiser(optimiser, within(found, "optimiser"))
    for batch in batches(order, size, recipe.batch, epochs, begin):
        if batch.first:
            total = nothing
            if batch.epoch == epochs // 2 + 1:
                optimiser = _optimiser(parameters, recipe, batch.epoch, epochs)
        drawn = draw_augmentation(augmentation, training.augment, len(batch.rows))
        total = total + model.set_gradient(parameters, training, batch.rows, drawn).double() * len(batch.rows)
        optimiser.step()
        if batch.last:
            tell(batch.epoch + 1, epochs, float(total) / size)
        checkpoint.keep(partial(_state, parameters, optimiser, batch.after, augmentation, total))
    return {name: value.detach() for name, value in parameters.items()}


def loss_gradient(
    parameters: Mapping[str, Tensor],
    training: TrainingSet,
    rows: np.ndarray,
    spec: NetworkSpec,
    *,
    classes: int,
    augmentation: Augmentation | None,
    engine: Engine,
) -> tuple[dict[str, Tensor], float]:
    """Gradient of the mean cross-entropy over the samples at `rows` with respect to the parameters, and that mean."""
    model = _model(spec, _shape(training), classes, engine)
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    loss = model.set_gradient(leaves, training, rows, augmentation)
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}, float(loss)


def test_accuracy(
    parameters: Mapping[str, Tensor],
    test: Samples,
    spec: NetworkSpec,
    normalisation: Normalisation,
    engine: Engine,
    checkpoint: Checkpoint | None = None,
) -> Scores:
    """How right the network is on all test samples; with a `checkpoint` an interrupted test goes on from it."""
    classes = len(test.classes)

    def predict(first: int, last: int) -> Tensor:
        shown = test.images[first:last]
        found = logits(parameters, shown, spec, classes=classes, normalisation=normalisation, engine=engine)
        return found.argmax(dim=1)

    predicted = predictions(predict, len(test), chunk=engine.chunk, checkpoint=checkpoint)
    return scores(predicted, test.labels, classes)


def logits(
    parameters: Mapping[str, Tensor],
    images: np.ndarray,
    spec: NetworkSpec,
    *,
    classes: int,
    normalisation: Normalisation,
    engine: Engine,
) -> Tensor:
    """What the network says of images, uint8 or float32 in [0, 1] [n, C, H, W]: [n, classes], on the CPU."""
    channels, height, width = images.shape[1:]
    model = _model(spec, (channels, height, width), classes, engine)
    placed = model.placed(parameters)

    def said(start: int) -> Tensor:
        pixels = images[start : start + engine.chunk]
        given = normalised(pixels, normalisation, device=engine.device, dtype=engine.image_dtype)
        with torch.no_grad():
            filled = given if model.fused else padded(given, engine)
            return model.logits(placed, filled)[: len(given)].cpu()

    chunks = list(in_order(said, range(0, len(images), engine.chunk), model.threads))
    return torch.cat(chunks) if chunks else torch.empty(0, classes, dtype=engine.image_dtype)


def _state(
    parameters: Mapping[str, Tensor], optimiser: torch.optim.SGD, place: Place, augmentation: Stream, total: Tensor
) -> dict[str, Tensor]:
    """What `train` goes on from."""
    return (
        named("parameters", parameters)
        | named("optimiser", optimiser_state(optimiser))
        | named("place", place.tensors())
        | {"augmentation": torch.from_numpy(augmentation.position), "total": total}
    )


def _optimiser(parameters: Mapping[str, Tensor], recipe: Recipe, epoch: int, epochs: int) -> torch.optim.SGD:
    """Gradient descent without a past, at the rate of an epoch."""
    lr = recipe.lr if epoch <= epochs // 2 else recipe.lr * 0.1
    return torch.optim.SGD(parameters.values(), lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


class _Model:
    """A classifier's loss and logits under an engine, chunk by chunk."""

    def __init__(self, spec: NetworkSpec, shape: tuple[int, int, int], classes: int, engine: Engine) -> None:
        self.network = build_network(spec, shape, classes)
        self.fused = fused_body(self.network, engine.torch_dtype) if engine.fuses else None
        self.threads = engine.spread(own=self.fused is not None)
        self._engine = engine
        self._apply = applied(self.network, threads=engine.kind == "eager")
        self._chunk_loss = self._loss if self.fused else compiled(self._loss, engine)
        self.logits = self._logits if self.fused else compiled(self._logits, engine)

    def set_gradient(
        self,
        parameters: Mapping[str, Tensor],
        training: TrainingSet,
        rows: np.ndarray,
        augmentation: Augmentation | None,
    ) -> Tensor:
        """Set `.grad` of the parameters to the gradient of the mean cross-entropy over a batch; returns that mean.

        Chunks add up in order, whichever thread computed them.
        """
        leaves = list(parameters.values())
        share = torch.tensor(1.0 / len(rows), dtype=self._engine.image_dtype, device=leaves[0].device)

        def gradients(start: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            end = start + self._engine.chunk
            images, labels = training.chunk(rows[start:end], self._engine)
            shown = augment(images, None if augmentation is None else augmentation.of(start, end))
            filled = shown if self.fused else padded(shown, self._engine)
            # Padding gets the label that cross-entropy ignores.
            targets = functional.pad(labels, (0, len(filled) - len(labels)), value=-100)
            with torch.enable_grad():
                loss = self._chunk_loss(dict(parameters), filled, targets, share)
            return loss.detach(), torch.autograd.grad(loss, leaves, allow_unused=True)

        total = torch.zeros_like(share)
        for leaf in leaves:
            leaf.grad = torch.zeros_like(leaf)
        for loss, grads in in_order(gradients, range(0, len(rows), self._engine.chunk), self.threads):
            total += loss
            for leaf, grad in zip(leaves, grads, strict=True):
                if grad is not None and leaf.grad is not None:
                    leaf.grad += grad
        return total

    def placed(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters in the dtypes that `logits` computes in."""
        if self.fused:
            return self.fused.placed(parameters)
        return {name: value.to(self._engine.device, self._engine.torch_dtype) for name, value in parameters.items()}

    def _loss(self, parameters: dict[str, Tensor], images: Tensor, labels: Tensor, share: Tensor) -> Tensor:
        logits = self._logits(self.placed(parameters), images)
        return functional.cross_entropy(logits, labels, reduction="sum") * share

    def _logits(self, parameters: dict[str, Tensor], images: Tensor) -> Tensor:
        """[n, classes] for a chunk of images, from `placed` parameters."""
        if self.fused:
            embeddings = self.fused(parameters, images).float()
            return functional.linear(embeddings, parameters["classifier.weight"], parameters["classifier.bias"])
        given = channels_last(images.to(self._engine.torch_dtype))
        return self._apply(parameters, given).to(self._engine.image_dtype)


@lru_cache(maxsize=16)
def _model(spec: NetworkSpec, shape: tuple[int, int, int], classes: int, engine: Engine) -> _Model:
    return _Model(spec, shape, classes, engine)


def _shape(training: TrainingSet) -> tuple[int, int, int]:
    images = training.images
    if isinstance(images, Samples):
        return images.shape
    return images.shape[1], images.shape[2], images.shape[3]
