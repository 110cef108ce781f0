"""DENSE (Zhang et al., "DENSE: Data-Free One-Shot Federated Learning", NeurIPS 2022): a generator against the ensemble.

In every epoch a generator makes a batch of images that the ensemble of the clients' models classifies as wished
(cross-entropy), that look like training data to their batch norms, and that lie between the decision boundaries of
student and ensemble. The batch joins the pool; the student learns the ensemble's logits on the pool. The student
starts fresh, as in the authors' code (the paper does not say that FedAvg's mean is used). Images are not augmented,
as there for Fashion-MNIST and MNIST.
"""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.baselines.base import Rival, RivalJob, RivalResult, images_for
from collabdm.baselines.losses import boundary_loss, ensemble_logits
from collabdm.baselines.students import Student, Task, batches_of, distilled_models, progress, resume
from collabdm.baselines.synthesis import generator_for, synthesise
from collabdm.config.rivals import DenseSpec
from collabdm.storage.checkpoints import within

__all__ = ["DENSE"]


def _run(job: RivalJob) -> RivalResult:
    settings = job.config.rivals.dense
    return distilled_models(job, settings, lambda task: _distilled(task, settings))


def _distilled(task: Task, settings: DenseSpec) -> Mapping[str, np.ndarray]:
    student = Student(task, settings)
    equal = [1.0] * len(task.teachers)
    draws, order = task.draws("dense generator"), task.draws("dense order")
    if found := task.checkpoint.found():
        resume(student, (draws, order), found)

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        logits, distance = task.teachers.watched(images)
        teacher = ensemble_logits(logits, equal)
        return (
            settings.cross_entropy * functional.cross_entropy(teacher, labels)
            + settings.batch_norm * distance
            + settings.boundary * boundary_loss(student.logits(images), teacher)
        )

    made = synthesise(
        generator_for(task.sample.shape, settings, task.dtype),
        objective,
        settings,
        task.sample.normalisation,
        classes=task.classes,
        draws=draws,
        device=task.device,
        generator=within(found, "generator"),
    )
    images, labels, taught = (
        list(found[name].to(task.device).split(settings.batch)) if found else []
        for name in ("images", "labels", "taught")
    )
    last_loss = float(found.get("last_loss", math.nan))
    for _, batch in zip(range(len(images), settings.epochs), made, strict=False):
        images.append(batch.images)
        labels.append(batch.labels)
        with torch.no_grad():
            taught.append(ensemble_logits(task.teachers.logits(batch.images), equal))
        pool, teacher = torch.cat(images), torch.cat(taught)
        for rows in batches_of(len(pool), settings.batch, settings.student_steps, order):
            last_loss = student.learn(pool[rows], teacher[rows], settings.temperature, lr=settings.lr)
        known = {"images": pool, "labels": torch.cat(labels), "taught": teacher}
        known |= {"last_loss": torch.tensor(last_loss, dtype=torch.float64)}
        task.checkpoint.keep(partial(progress, student, batch.generator, (draws, order), known))
    return {
        **{name: value.cpu().numpy() for name, value in student.parameters.items()},
        "pool.images": torch.cat(images).cpu().numpy(),
        "pool.labels": torch.cat(labels).cpu().numpy(),
        "facts.last_loss": np.array(last_loss),
    }


DENSE = Rival(name="dense", product="model", run=_run, check=images_for)
