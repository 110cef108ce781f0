"""Kernel-ridge distillation (KIP, Nguyen et al. 2020) under the kernel of an infinitely wide network.

The samples are support points: kernel ridge regression on them alone should predict the labels of the real data. The
labels stay as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.engine.workers import torch_threads
from collabdm.local.ntk import relu_ntk
from collabdm.local.start import LocalJob
from collabdm.progress import Event, Report
from collabdm.protocol import KipSpec
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint, named, optimiser_state, restore_optimiser, within

__all__ = ["RealData", "balanced", "centred", "distilled_by_kernel", "kip_samples", "ridge_loss"]

REPORT_EVERY = 50


def kip_samples(job: LocalJob, samples: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial samples [n, *shape] with labels [n], distilled under a plan; stored samples count by their tiles."""
    spec = job.plan.local.own(KipSpec)
    with torch_threads(job.engine.threads):
        return distilled_by_kernel(
            samples,
            labels,
            RealData(members=job.members, samples=job.real, classes=len(job.plan.classes)),
            spec,
            expand=lambda stored: job.plan.sample.expand(stored, job.plan.tiles),
            stream=Stream(job.plan.seed, "kip-batch", job.client),
            tell=lambda done, loss: report(
                Event(stage="local", client=job.client, done=done, total=spec.iterations, loss=loss)
            ),
            checkpoint=job.checkpoint,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RealData:
    """What is to be predicted: `members`, the indices of every class that has some; `samples` at indices, as networks
    see them; `classes`, how many there are."""

    members: Mapping[int, np.ndarray]
    samples: Callable[[np.ndarray], Tensor]
    classes: int


def distilled_by_kernel(
    samples: Tensor,
    labels: Tensor,
    real: RealData,
    spec: KipSpec,
    *,
    expand: Callable[[Tensor], Tensor],
    stream: Stream,
    tell: Callable[[int, float], None],
    checkpoint: Checkpoint | None = None,
) -> Tensor:
    """Samples [n, *shape] after Adam on `ridge_loss`.

    A class without a member is never a target. The kernel is computed in float64 on the device of the samples.
    """
    checkpoint = checkpoint or Checkpoint()
    found = checkpoint.found()
    support = found.get("support", samples).detach().to(samples.device).double().clone().requires_grad_()
    expanded = len(expand(support.detach())) // len(support)
    targets = centred(labels.repeat_interleave(expanded), real.classes)
    optimiser, begin = torch.optim.Adam([support], lr=spec.lr), 0
    if found:
        begin = int(found["done"])
        restore_optimiser(optimiser, within(found, "optimiser"))
        stream.move_to(found["stream"].numpy())
    for i in range(begin, spec.iterations):
        drawn = balanced(real.members, spec.batch, stream)
        rows = np.concatenate(list(drawn.values()))
        wanted = torch.tensor(np.repeat(list(drawn), list(map(len, drawn.values()))), device=samples.device)
        shown = real.samples(rows).double()
        loss, right = ridge_loss(expand(support), targets, shown, centred(wanted, real.classes), spec.ridge)
        (support.grad,) = torch.autograd.grad(loss, support)
        optimiser.step()
        if i % REPORT_EVERY == REPORT_EVERY - 1:
            tell(i + 1, float(loss.detach()))
        if right > spec.stop:
            break
        checkpoint.keep(partial(_state, support, optimiser, stream, i + 1))
    return support.detach().to(samples.dtype)


def ridge_loss(
    support: Tensor, support_targets: Tensor, samples: Tensor, targets: Tensor, ridge: float
) -> tuple[Tensor, float]:
    """Half the mean squared error of predicting `targets` [m, classes] at `samples`, and the accuracy in [0, 1].

    The prediction is K_ts (K_ss + ridge tr(K_ss) / n I)^-1 Y_s.
    """
    inner = relu_ntk(support, support)
    inner = inner + ridge * inner.diagonal().mean() * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    predicted = relu_ntk(samples, support) @ torch.linalg.solve(inner, support_targets)
    right = (predicted.argmax(dim=1) == targets.argmax(dim=1)).double().mean()
    return 0.5 * (predicted - targets).square().mean(), float(right)


def centred(labels: Tensor, classes: int) -> Tensor:
    """One-hot rows minus 1 / classes, float64 [n, classes]."""
    return torch.nn.functional.one_hot(labels, classes).double() - 1 / classes


def balanced(members: Mapping[int, np.ndarray], count: int, stream: Stream) -> dict[int, np.ndarray]:
    """About `count` indices, as many of every class as it has and an equal share allows; at least one each."""
    share = max(count // len(members), 1)
    return {y: rows[stream.choose(len(rows), share)] for y, rows in members.items()}


def _state(support: Tensor, optimiser: torch.optim.Adam, stream: Stream, done: int) -> dict[str, Tensor]:
    state = {"support": support, "stream": torch.from_numpy(stream.position), "done": torch.tensor(done)}
    return state | named("optimiser", optimiser_state(optimiser))
