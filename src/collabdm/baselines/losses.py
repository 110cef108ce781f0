"""What DENSE and Co-Boosting minimise, as pure functions of logits and activations."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["batch_norm_distance", "boundary_loss", "divergence", "ensemble_logits", "hard_cross_entropy"]


def ensemble_logits(logits: Tensor, weights: Tensor | Sequence[float]) -> Tensor:
    """The weighted mean of the members' logits: [members, n, classes] to [n, classes] (DENSE, equation 1, where all
    weights are equal)."""
    given = torch.as_tensor(weights, dtype=logits.dtype, device=logits.device)
    return torch.einsum("k,knc->nc", given / given.sum(), logits)


def batch_norm_distance(inputs: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> Tensor:
    """How far the images of one batch lie from those a model was trained on (DENSE, equation 5, for one client).

    Over the batch norms: the Euclidean distance of the batch's means per channel from the running means, plus that of
    the variances (n in the denominator). `inputs` [n, C, H, W] by the norm's name; `parameters` hold the running ones.
    """
    total = torch.zeros((), device=next(iter(parameters.values())).device)
    for name, images in inputs.items():
        usual = parameters[f"{name}.running_mean"]
        offsets, variances = _Moments.apply(images, usual)
        total = total + torch.linalg.vector_norm(offsets)
        total = total + torch.linalg.vector_norm(variances - parameters[f"{name}.running_var"])
    return total


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """temperature^2 KL(softmax(teacher / temperature) || softmax(student / temperature)) of each sample, [n]."""
    log_q, log_p = (functional.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return (log_p.exp() * (log_p - log_q)).sum(dim=1) * temperature**2


def boundary_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Minus the divergence, over samples that the two classify differently, as a mean over all (DENSE, equation 6).

    A generator that minimises it makes images between the student's decision boundary and the ensemble's.
    """
    differ = student.argmax(dim=1) != teacher.argmax(dim=1)
    return -(divergence(student, teacher, 1.0) * differ).mean()


def hard_cross_entropy(logits: Tensor, labels: Tensor, hardness: float) -> Tensor:
    """Cross-entropy with weights (1 - p)^hardness, p the probability of the label, taken as constants (Co-Boosting)."""
    losses = functional.cross_entropy(logits, labels, reduction="none")
    return ((1 - torch.exp(-losses.detach())) ** hardness * losses).mean()


class _Moments(torch.autograd.Function):
    """Per channel the mean of `images` less `around`, and the variance.

    Torch's own reduction over three dimensions and its gradient took two fifths of DENSE's time. Here the sums are
    matrix products, taken around the running mean so that nothing cancels, and the gradient is one multiply-add.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, around: Tensor) -> tuple[Tensor, Tensor]:
        pixels = images.permute(0, 2, 3, 1).flatten(0, 2)
        pixels = pixels.to(torch.promote_types(pixels.dtype, torch.float32)) - around
        offsets = pixels.new_full((len(pixels),), 1 / len(pixels)) @ pixels
        variances = torch.diagonal(pixels.T @ pixels) / len(pixels) - offsets**2
        ctx.save_for_backward(images, around + offsets)
        return offsets, variances.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        images, means = ctx.saved_tensors
        of_offsets, of_variances = (each[:, None, None] for each in gradients)
        count = images.numel() // images.shape[1]
        centred = images - means[:, None, None]
        return torch.addcmul(of_offsets / count, centred, 2 * of_variances / count).to(images.dtype), None
