"""What classifiers are trained on: a set's expanded samples, or real ones, with their labels."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.data.samples import Samples
from collabdm.engine import Engine
from collabdm.engine.placing import uploaded
from collabdm.errors import ConfigError, explain
from collabdm.modality import Modality
from collabdm.training.recipes import Recipe
from collabdm.training.teacher_labels import TeacherLabels

__all__ = ["TrainingSet"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSet:
    """Labelled samples to train on: float32 [n, *shape] (already expanded), or real `Samples`.

    `sample` says what they are; `targets`: float32 [n, classes], rows that sum to one, where the network is to learn
    these instead of the labels; `teacher`: who labels samples anew as they are shown.
    """

    samples: Tensor | Samples
    labels: Tensor
    sample: Modality
    augment: tuple[str, ...]
    targets: Tensor | None = None
    teacher: TeacherLabels | None = None

    def chunk(self, rows: np.ndarray, engine: Engine) -> tuple[Tensor, Tensor]:
        """Samples at `rows` as the network takes them, and their labels [n] or targets [n, classes], on the engine's
        device."""
        if isinstance(self.samples, Samples):
            values = self.samples.values[rows]
            samples = self.sample.tensors(values, device=engine.device, dtype=engine.sample_dtype)
        else:
            chosen = uploaded(torch.from_numpy(rows), self.samples.device)
            samples = self.samples[chosen].to(engine.device, engine.sample_dtype)
        if self.targets is None:
            return samples, uploaded(self.labels[torch.from_numpy(rows)], torch.device(engine.device))
        wanted = uploaded(self.targets[torch.from_numpy(rows)], torch.device(engine.device), engine.sample_dtype)
        return samples, wanted

    def placed(self, engine: Engine) -> "TrainingSet":
        """The same with the teacher, and with expanded samples, where the engine computes: they are few, and shown
        hundreds of times."""
        samples = self.samples if isinstance(self.samples, Samples) else self.samples.to(engine.device)
        teacher = self.teacher and self.teacher.placed(self.shape, engine)
        return dataclasses.replace(self, samples=samples, teacher=teacher)

    def with_targets(self, classes: int) -> "TrainingSet":
        """The same with targets, as mixed samples need them: all on the label where there were none."""
        if self.targets is not None:
            return self
        return dataclasses.replace(self, targets=functional.one_hot(self.labels, classes).float())

    def taught(self, share: float) -> "TrainingSet":
        """The same with its teacher having that share in the targets; without it where the share is 0."""
        teacher = dataclasses.replace(self.teacher, share=share) if share and self.teacher else None
        return dataclasses.replace(self, teacher=teacher)

    def views(self, recipe: Recipe) -> tuple[str, ...]:
        """The operations under all of whose views (`Modality.views`) a test sample is shown by the recipe."""
        return self.sample.viewed(self.augment) if recipe.views else ()

    def check_teacher(self, recipe: Recipe, classes: int) -> None:
        """Raise `ConfigError` where the recipe asks a teacher and there is none, or none for these samples."""
        if not recipe.asks_teacher:
            return
        if not isinstance(self.teacher, TeacherLabels):
            got = "none" if self.teacher is None else f"a {type(self.teacher).__name__}"
            fix = "choose another protocol, or a set whose round had the statistic gram"
            raise ConfigError(explain("teacher of the set", got=got, expected="one, as the recipe says", fix=fix))
        self.teacher.check(self.shape, classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample as the network sees it."""
        return self.sample.shape

    def digest(self) -> str:
        """SHA-256 over all of it, in hex."""
        values = self.samples.values if isinstance(self.samples, Samples) else self.samples.cpu().numpy()
        facts = [str(values.dtype), values.shape, self.sample.model_dump(mode="json"), self.augment]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for array in (values, self.labels.cpu().numpy(), *(() if self.targets is None else (self.targets.numpy(),))):
            digest.update(np.ascontiguousarray(array).data)
        if self.teacher is not None:
            digest.update(self.teacher.digest())
        return digest.hexdigest()
