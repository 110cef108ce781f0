"""Co-Boosting (Dai et al., "Enhancing One-Shot Federated Learning Through Data and Ensemble Co-Boosting", ICLR 2024).

Images and ensemble improve each other, epoch by epoch:

1. Hard images: a generator makes a batch that the ensemble classifies as wished (a cross-entropy in which hard samples
   weigh more, by 1 - p) and on which the student is far from it (their divergence at temperature 3, all samples).
2. The ensemble's weights, equal at first, move by the sign of the gradient of the cross-entropy on the pool's images
   and labels, within [0, 1]; by 0.01 a batch, times 0.99 per epoch. The newest batch does not count yet.
3. The student learns the new ensemble's logits (temperature 4) on images of the pool that were diversified on the fly:
   each moved by 8/255 in the direction that changes a random mix of the ensemble's probabilities.

From the paper: the three parts and their order. From the authors' published code, read for what the paper leaves open:
both temperatures of 4 (distillation, and the softmax in 3), the 3 in 1, the clamp of the weights, their division by
their sum in the ensemble, gradients clipped to a norm of 10, the student's rate of 0.01 falling on a cosine to 0 over
the epochs with momentum 0.9 and weight decay 1e-4, no batch norm term. There 8/255 is added to normalised pixels;
so it is here. Uncertain: whether the published numbers used exactly this code, and whether they are those of the last
epoch (it prints the best).
"""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.baselines.base import Rival, RivalJob, RivalResult, images_for
from collabdm.baselines.losses import divergence, ensemble_logits, hard_cross_entropy
from collabdm.baselines.students import Student, Task, Teachers, batches_of, distilled_models, progress, resume
from collabdm.baselines.synthesis import generator_for, synthesise
from collabdm.config.rivals import CoBoostingSpec
from collabdm.storage.checkpoints import within

__all__ = ["CO_BOOSTING", "diversified", "moved_weights"]

ADVERSARIAL_TEMPERATURE = 3.0
DIVERSITY_TEMPERATURE = 4.0
WEIGHT_DECAY = 1e-4


def moved_weights(weights: Tensor, logits: Tensor, labels: Tensor, step: float) -> Tensor:
    """Ensemble weights [members] after one step on a batch's logits [members, n, classes]: each moves by `step` against
    its gradient of the cross-entropy, and stays within [0, 1].

    All weights at 0 would leave no ensemble: then the old ones stay.
    """
    given = weights.detach().requires_grad_()
    loss = functional.cross_entropy(ensemble_logits(logits, given), labels)
    moved = (given - step * torch.autograd.grad(loss, given)[0].sign()).clamp(0.0, 1.0).detach()
    return moved if float(moved.sum()) > 0 else weights


def diversified(images: Tensor, teachers: Teachers, weights: Tensor, mix: Tensor, distance: float) -> Tensor:
    """Images whose every pixel moved by `distance` so that `mix` [n, classes] of the ensemble's probabilities grows."""
    given = images.detach().requires_grad_()
    probabilities = torch.softmax(ensemble_logits(teachers.logits(given), weights) / DIVERSITY_TEMPERATURE, dim=1)
    return images + distance * torch.autograd.grad((mix * probabilities).sum(), given)[0].sign()


def _run(job: RivalJob) -> RivalResult:
    settings = job.config.rivals.co_boosting
    return distilled_models(job, settings, lambda task: _distilled(task, settings))


def _distilled(task: Task, settings: CoBoostingSpec) -> Mapping[str, np.ndarray]:
    student = Student(task, settings, weight_decay=WEIGHT_DECAY)
    teachers = task.teachers
    draws, order, mixes = (task.draws(f"co-boosting {purpose}") for purpose in ("generator", "order", "diversity"))
    streams, weights = (draws, order, mixes), torch.full((len(teachers),), 1.0 / len(teachers), device=task.device)
    if found := task.checkpoint.found():
        resume(student, streams, found)
        weights = found["weights"].to(task.device)

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        logits, distance = teachers.watched(images)
        teacher = ensemble_logits(logits, weights)
        far = divergence(student.logits(images), teacher, ADVERSARIAL_TEMPERATURE).mean()
        hard = hard_cross_entropy(teacher, labels, settings.hardness)
        return hard - settings.adversarial * far + settings.batch_norm * distance

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
    images, labels = (
        list(found[name].to(task.device).split(settings.batch)) if found else [] for name in ("images", "labels")
    )
    outputs = list(found["outputs"].to(task.device)) if found else []
    for epoch, batch in zip(range(len(images), settings.epochs), made, strict=False):
        for old in order.permutation(len(outputs)):
            step = settings.weight_step * settings.weight_decay**epoch
            weights = moved_weights(weights, outputs[old], labels[old], step)
        images.append(batch.images)
        labels.append(batch.labels)
        with torch.no_grad():
            outputs.append(teachers.logits(batch.images))
        pool, lr = torch.cat(images), settings.lr * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
        for rows in batches_of(len(pool), settings.batch, settings.student_steps, order):
            mix = torch.from_numpy(mixes.uniform(-1, 1, (len(rows), task.classes)).astype(np.float32)).to(task.device)
            shown = diversified(pool[rows], teachers, weights, mix, settings.perturbation)
            with torch.no_grad():
                teacher = ensemble_logits(teachers.logits(shown), weights)
            student.learn(shown, teacher, settings.temperature, lr=lr)
        known = {"images": pool, "labels": torch.cat(labels), "outputs": torch.stack(outputs), "weights": weights}
        task.checkpoint.keep(partial(progress, student, batch.generator, streams, known))
    return {
        **{name: value.cpu().numpy() for name, value in student.parameters.items()},
        "pool.images": torch.cat(images).cpu().numpy(),
        "pool.labels": torch.cat(labels).cpu().numpy(),
        "facts.weights": weights.cpu().numpy(),
    }


CO_BOOSTING = Rival(name="co-boosting", product="model", run=_run, check=images_for)
