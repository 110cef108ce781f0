"""Kernel-ridge distillation (KIP, Nguyen et al. 2020) under the kernel of an infinitely wide network.

The images are support points: kernel ridge regression on them alone should predict the labels of the real data. The
labels stay as they are.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from collabdm.engine import Engine
from collabdm.engine.workers import torch_threads
from collabdm.images.partition_expand import expand
from collabdm.local.ntk import relu_ntk
from collabdm.local.start import LocalJob
from collabdm.progress import Event, Report
from collabdm.protocol import KipSpec
from collabdm.randomness import Stream
from collabdm.storage.checkpoints import Checkpoint, named, optimiser_state, restore_optimiser, within

__all__ = ["balanced", "centred", "distilled_by_kernel", "kip_images", "ridge_loss"]

REPORT_EVERY = 50


def kip_images(job: LocalJob, images: Tensor, labels: Tensor, report: Report) -> Tensor:
    """Initial images [n, C, H, W] with labels [n], distilled under a plan; stored images count by their tiles."""
    spec = job.plan.local.kip or KipSpec()
    return distilled_by_kernel(
        images,
        labels,
        job.members,
        job.real,
        spec,
        classes=len(job.plan.classes),
        factor=job.plan.pae,
        stream=Stream(job.plan.seed, "kip-batch", job.client),
        engine=job.engine,
        tell=lambda done, loss: report(
            Event(stage="local", client=job.client, done=done, total=spec.iterations, loss=loss)
        ),
        checkpoint=job.checkpoint,
    )


def distilled_by_kernel(
    images: Tensor,
    labels: Tensor,
    members: Mapping[int, np.ndarray],
    real: Callable[[np.ndarray], Tensor],
    spec: KipSpec,
    *,
    classes: int,
    factor: int,
    stream: Stream,
    engine: Engine,
    tell: Callable[[int, float], None],
    checkpoint: Checkpoint | None = None,
) -> Tensor:
    """Images [n, C, H, W] after Adam on `ridge_loss`; `real` gives normalised images of indices, `members` by class.

    A class without a member is never a target. The kernel is computed in float64 on the engine's device.
    """
    checkpoint = checkpoint or Checkpoint()
    found = checkpoint.found()
    support = found.get("support", images).detach().to(images.device).double().clone().requires_grad_()
    targets = centred(labels.repeat_interleave(factor**2), classes)
    optimiser, begin = torch.optim.Adam([support], lr=spec.lr), 0
    if found:
        begin = int(found["done"])
        restore_optimiser(optimiser, within(found, "optimiser"))
        stream.move_to(found["stream"].numpy())
    with torch_threads(engine.threads):
        for i in range(begin, spec.iterations):
            drawn = balanced(members, spec.batch, stream)
            wanted = torch.tensor(
                np.concatenate([np.full(len(rows), y) for y, rows in drawn.items()]), device=images.device
            )
            shown = real(np.concatenate(list(drawn.values()))).double()
            loss, right = ridge_loss(expand(support, factor), targets, shown, centred(wanted, classes), spec.ridge)
            (support.grad,) = torch.autograd.grad(loss, support)
            optimiser.step()
            if i % REPORT_EVERY == REPORT_EVERY - 1:
                tell(i + 1, float(loss.detach()))
            if right > spec.stop:
                break
            checkpoint.keep(partial(_state, support, optimiser, stream, i + 1))
    return support.detach().to(images.dtype)


def ridge_loss(
    support: Tensor, support_targets: Tensor, images: Tensor, targets: Tensor, ridge: float
) -> tuple[Tensor, float]:
    """Half the mean squared error of predicting `targets` [m, classes] at `images`, and the accuracy in [0, 1].

    The prediction is K_ts (K_ss + ridge tr(K_ss) / n I)^-1 Y_s.
    """
    inner = relu_ntk(support, support)
    inner = inner + ridge * inner.diagonal().mean() * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    predicted = relu_ntk(images, support) @ torch.linalg.solve(inner, support_targets)
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
