"""A student that learns from an ensemble on a growing pool of synthetic images: what DENSE and Co-Boosting share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collabdm.baselines.base import RivalJob, RivalResult
from collabdm.baselines.client_models import ClientModels, client_models
from collabdm.baselines.losses import batch_norm_distance, divergence
from collabdm.baselines.models import Model, classifier, is_running
from collabdm.config.rivals import SynthesisSpec
from collabdm.distilled.set import DistilledSet
from collabdm.engine.memory import begin_stage, merged
from collabdm.engine.workers import in_order
from collabdm.images.modality import Images
from collabdm.networks import ClassifierSpec, build_network, initial_parameters, initial_running
from collabdm.planning import recipe_for
from collabdm.progress import Event
from collabdm.randomness import Stream, generator_position, move_generator
from collabdm.storage.checkpoints import Checkpoint, named, optimiser_state, restore_optimiser, within
from collabdm.storage.kept_results import KeptResults, result_key

__all__ = ["Student", "Task", "Teachers", "batches_of", "distilled_models", "progress", "resume"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One repetition of the server's stage, numbered `repetition`; `checkpoint`: where it keeps its state."""

    teachers: "Teachers"
    spec: ClassifierSpec
    classes: int
    sample: Images
    device: str
    dtype: torch.dtype
    seed: int
    repetition: int
    checkpoint: Checkpoint

    def draws(self, purpose: str) -> np.random.Generator:
        """Random numbers of this repetition."""
        return Stream(self.seed, purpose, self.repetition).generator()


class Teachers:
    """The clients' models in evaluation: their logits together, and how far images lie from what they have seen."""

    def __init__(
        self, received: ClientModels, shape: tuple[int, ...], classes: int, device: str, dtype: torch.dtype
    ) -> None:
        """Members in sorted order of the clients."""
        self._apply = classifier(received.spec, shape, classes, dtype)
        models = [received.parameters[client] for client in sorted(received.parameters)]
        self._members = [{name: value.to(device) for name, value in one.items()} for one in models]

    def __len__(self) -> int:
        """The number of members."""
        return len(self._members)

    def logits(self, images: Tensor) -> Tensor:
        """[members, n, classes]; differentiable in the images."""
        return torch.stack([self._apply(one, images) for one in self._members])

    def watched(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the mean over the members of `batch_norm_distance`."""
        logits, distances = [], []
        for one in self._members:
            output, inputs = self._apply.watched(one, images)
            logits.append(output)
            distances.append(batch_norm_distance(inputs, one))
        return torch.stack(logits), torch.stack(distances).mean()


class Student:
    """A fresh network and its optimiser."""

    def __init__(self, task: Task, settings: SynthesisSpec, *, weight_decay: float = 0.0) -> None:
        """Of the clients' architecture, with initial parameters of the repetition's own."""
        network = build_network(task.spec, task.sample.shape, task.classes)
        initial = initial_parameters(network, Stream(task.seed, "student", task.repetition)) | initial_running(network)
        placed = {name: value.to(task.device) for name, value in initial.items()}
        self._leaves = {name: value.requires_grad_() for name, value in placed.items() if not is_running(name)}
        self._running = {name: value for name, value in placed.items() if is_running(name)}
        self._testing, self._training = (
            classifier(task.spec, task.sample.shape, task.classes, task.dtype, training=training)
            for training in (False, True)
        )
        self._optimiser = torch.optim.SGD(
            self._leaves.values(), lr=settings.lr, momentum=settings.momentum, weight_decay=weight_decay
        )

    def state(self) -> dict[str, Tensor]:
        """All that later steps depend on, for a checkpoint."""
        return named("student", self.parameters) | named("optimiser", optimiser_state(self._optimiser))

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        known = within(state, "student")
        with torch.no_grad():
            for name, leaf in self._leaves.items():
                leaf.copy_(known[name])
        self._running = {name: known[name].to(value) for name, value in self._running.items()}
        restore_optimiser(self._optimiser, within(state, "optimiser"))

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Parameters and running statistics."""
        return {name: value.detach() for name, value in (self._leaves | self._running).items()}

    def logits(self, images: Tensor) -> Tensor:
        """[n, classes] in evaluation; differentiable in the images only."""
        return self._testing(self.parameters, images)

    def learn(self, images: Tensor, teacher: Tensor, temperature: float, *, lr: float) -> float:
        """One step towards the teacher's logits on a batch; returns the mean divergence before it."""
        self._running = {name: value.clone() for name, value in self._running.items()}
        loss = divergence(self._training(self._leaves | self._running, images), teacher, temperature).mean()
        self._optimiser.param_groups[0]["lr"] = lr
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._leaves.values(), 10.0)
        self._optimiser.step()
        return float(loss.detach())


def batches_of(size: int, batch: int, count: int, draws: np.random.Generator) -> Iterator[np.ndarray]:
    """`count` batches of indices below `size`, pass after pass, each pass in a new order; none has a single index."""
    while count > 0:
        order = draws.permutation(size)
        for start in range(0, size, batch):
            if count > 0 and (len(order[start : start + batch]) > 1 or size == 1):
                yield order[start : start + batch]
                count -= 1


def progress(
    student: Student,
    generator: Mapping[str, Tensor],
    draws: Sequence[np.random.Generator],
    known: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """What a repetition goes on from after an epoch: student, generator, random numbers, and all else `known`."""
    places = {f"draws.{i}": torch.from_numpy(generator_position(d.bit_generator)) for i, d in enumerate(draws)}
    return student.state() | named("generator", generator) | places | dict(known)


def resume(student: Student, draws: Sequence[np.random.Generator], found: Mapping[str, Tensor]) -> None:
    """Put the student and the random numbers back to where `progress` saw them."""
    student.restore(found)
    for i, draw in enumerate(draws):
        move_generator(draw.bit_generator, found[f"draws.{i}"].numpy())


Work = Callable[[Task], Mapping[str, np.ndarray]]

# What of a repetition's arrays is not a parameter.
_OTHERS = ("pool.", "facts.")


def distilled_models(job: RivalJob, settings: SynthesisSpec, work: Work) -> RivalResult:
    """The clients' models, and `evaluate.count` whole repetitions of the server's stage, side by side.

    Raises `ConfigError` where the samples are no images: generators make pixels.

    `work` gives the arrays of one repetition: the student's by name, `pool.images`, `pool.labels`, and whatever else
    belongs in the facts as `facts.<name>`. The pool kept is that of the first repetition.
    """
    sample, received, name = job.images, client_models(job), job.config.method
    teachers = Teachers(received, sample.shape, len(job.train.classes), job.engine.device, job.engine.torch_dtype)
    count = recipe_for(job.config).count

    stage = name.replace("-", "_")

    def repeated(repetition: int) -> tuple[dict[str, np.ndarray], KeptResults]:
        basis: dict[str, Any] = {"models": received.digest, "repetition": repetition, "seed": job.config.seed}
        basis |= {"settings": settings.model_dump(), "normalisation": sample.normalisation.model_dump()}
        basis |= {"engine": job.engine.model_dump(exclude={"threads", "processes", "chunk"})}
        store, key = KeptResults(job.kept), result_key(stage, basis)
        task = Task(
            teachers=teachers,
            spec=received.spec,
            classes=len(job.train.classes),
            sample=sample,
            device=job.engine.device,
            dtype=job.engine.torch_dtype,
            seed=job.config.seed,
            repetition=repetition,
            checkpoint=store.checkpoint(key),
        )
        return store.compute(key, lambda: dict(work(task))), store

    results = []
    begin_stage()
    for number, result in enumerate(in_order(repeated, range(count), job.engine.spread(own=True))):
        results.append(result)
        job.report(Event(stage=name, done=number + 1, total=count))
    models = tuple(
        Model(
            spec=received.spec,
            classes=job.train.classes,
            sample=received.sample,
            members=({n: torch.from_numpy(v) for n, v in sorted(arrays.items()) if not n.startswith(_OTHERS)},),
        )
        for arrays, _ in results
    )
    facts = [{n.removeprefix("facts."): v.tolist() for n, v in a.items() if n.startswith("facts.")} for a, _ in results]
    return RivalResult(
        product=models,
        bytes_down=received.bytes_down,
        bytes_up=received.bytes_up,
        rounds=1,
        client_seconds=received.seconds,
        server_seconds=sum(store.seconds[stage] for _, store in results) / count,
        pool=_pool(job, received, results[0][0]),
        facts={"repetitions": facts},
        memory=merged({"client": received.memory}, *({"server": of} for _, s in results for of in s.memory.values())),
    )


def _pool(job: RivalJob, received: ClientModels, arrays: Mapping[str, np.ndarray]) -> DistilledSet:
    return DistilledSet(
        samples=torch.from_numpy(arrays["pool.images"]),
        labels=torch.from_numpy(arrays["pool.labels"]),
        classes=job.train.classes,
        sample=received.sample,
        augment=(),
        method=job.config.method,
        facts={"clients": list(received.parameters), "network": received.spec.label},
    )
