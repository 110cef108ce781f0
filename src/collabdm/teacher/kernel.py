"""The kernel-inducing-points loss of a synthetic set against ALL data, from sums alone.

The set's own kernel ridge classifier, W = Z^T (Z Z^T + c I)^-1 T for m samples with standardised features Z
[m, d] and targets T, has on the data the mean squared error tr(spread - 2 W^T cross + W^T gram W): the loss of KIP
(Nguyen et al. 2021), which elsewhere needs the data themselves.
"""

import torch
from torch import Tensor

from collabdm.matching.equations import NormalEquations

__all__ = ["kernel_loss", "standardised"]


def standardised(equations: NormalEquations, features: Tensor) -> Tensor:
    """Raw features [m, d] as the equations have them; differentiable."""
    mean, scale = (torch.from_numpy(value).to(features) for value in (equations.mean, equations.scale))
    return (features - mean) / scale


def kernel_loss(equations: NormalEquations, features: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """Half the mean squared error on all data of the kernel ridge classifier of a set: a scalar, differentiable.

    `features`: raw, [m, d]; `labels`: int64 [m], or targets [m, classes] whose rows sum to one; `penalty`: lambda, in
    units of the mean of the kernel's diagonal.
    """
    z = standardised(equations, features)
    gram, cross, share = (
        torch.from_numpy(value).to(features) for value in (equations.gram, equations.cross, equations.share)
    )
    targets = (labels if labels.dim() == 2 else torch.eye(len(share)).to(features)[labels.to(features.device)]) - share
    kernel = z @ z.T
    ridge = penalty * kernel.diagonal().mean() * torch.eye(len(z)).to(features)
    weight = z.T @ torch.linalg.solve(kernel + ridge, targets)
    return (equations.spread - 2 * (weight * cross).sum() + (weight * (gram @ weight)).sum()) / 2
