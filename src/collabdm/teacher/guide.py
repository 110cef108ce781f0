"""The teacher's term of refinement: samples move to where the teacher sees their class, or teaches as they would."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from collabdm.config import ServerSpec
from collabdm.engine.placing import uploaded
from collabdm.modality import draw_augmentation
from collabdm.protocol import Plan
from collabdm.randomness import Stream
from collabdm.teacher.kernel import kernel_loss
from collabdm.teacher.teacher import Teacher

__all__ = ["Guide"]

# Of the mean of the kernel's diagonal: a batch of a few hundred samples has as many features.
_KERNEL_PENALTY = 0.1


class Guide:
    """A direction at the synthetic samples for every step, from a loss of a batch of them that needs sums alone."""

    def __init__(self, plan: Plan, teacher: Teacher, spec: ServerSpec) -> None:
        """`spec`: how much of it (`teacher`), on how many samples (`teacher_batch`), and which (`teacher_loss`)."""
        self._plan, self._teacher, self._spec = plan, teacher, spec

    def __call__(self, samples: Tensor, *, labels: Tensor, step: int) -> Tensor:
        """The gradient at stored samples [n, *shape] of what they unfold to, scaled to the length `teacher`.

        The batch, and an augmentation of every sample of it, follow from the plan's seed and the step.
        """
        stream = Stream(self._plan.seed, "teacher", step)
        rows = torch.from_numpy(np.sort(stream.choose(len(labels), self._spec.teacher_batch)))
        leaf = samples[uploaded(rows, samples.device)].detach().requires_grad_()
        shown = self._plan.sample.expand(leaf, self._plan.tiles)
        wanted = labels[rows].repeat_interleave(len(shown) // len(leaf))
        drawn = draw_augmentation(stream, self._plan.augment, len(shown))
        # Not through `linearised`'s chunks: an augmentation has numbers for every sample.
        seen = self._plan.sample.augment(shown, drawn)
        features, back = self._teacher.linearised(seen.detach())
        there = features.detach().requires_grad_()
        (at_features,) = torch.autograd.grad(self._loss(there, uploaded(wanted, there.device)), there)
        (at_leaf,) = torch.autograd.grad(seen, leaf, back(at_features))
        direction = torch.zeros_like(samples)
        direction[uploaded(rows, samples.device)] = at_leaf
        length = torch.linalg.vector_norm(direction)
        return direction * (self._spec.teacher / length.clamp_min(torch.finfo(length.dtype).tiny))

    def _loss(self, features: Tensor, labels: Tensor) -> Tensor:
        if self._spec.teacher_loss == "kernel":
            return kernel_loss(self._teacher.equations, features, labels, _KERNEL_PENALTY)
        return functional.cross_entropy(self._teacher.said(features), labels)
