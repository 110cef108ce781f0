"""The neural tangent kernel of an infinitely wide fully connected ReLU network, in closed form.

The covariances of the layers and the kernel follow a recursion of arc-cosine functions (Cho & Saul 2009; Jacot et al.
2018), so no network is ever built.
"""

import math

import torch
from torch import Tensor

__all__ = ["relu_ntk"]

# From here on two samples count as parallel: an image and itself, whose cosine does not depend on the pixels, while
# the derivative of the arc cosine is infinite.
PARALLEL = 1 - 1e-13


def relu_ntk(
    x: Tensor, z: Tensor, *, depth: int = 4, weight_variance: float = 2.0, bias_variance: float = 0.01
) -> Tensor:
    """Theta(x, z) [n, m] of samples [n, ...] and [m, ...], flattened; differentiable in both. Give float64.

    `depth` hidden layers of ReLU and a linear output; weights N(0, `weight_variance`) over the square root of the
    layer's inputs, biases N(0, `bias_variance`) (the "NTK parametrisation"). The defaults are FedD3's: depth 4,
    standard deviations sqrt 2 and 0.1.
    """
    x, z = x.flatten(1), z.flatten(1)
    scale = weight_variance / x.shape[1]
    covariance = scale * (x @ z.T) + bias_variance
    of_x, of_z = (scale * v.square().sum(dim=1) + bias_variance for v in (x, z))
    kernel = covariance
    for _ in range(depth):
        norms = (of_x[:, None] * of_z[None, :]).sqrt()
        cosine = covariance / norms
        parallel = cosine > PARALLEL
        cosine = torch.where(parallel, 0.0, cosine).clamp_min(-PARALLEL)
        obtuse = math.pi - torch.acos(cosine)
        # E[relu(u) relu(v)] and E[relu'(u) relu'(v)] over Gaussian (u, v) of this covariance.
        values = torch.where(parallel, 0.5, ((1 - cosine.square()).sqrt() + obtuse * cosine) / (2 * math.pi)) * norms
        slopes = torch.where(parallel, 0.5, obtuse / (2 * math.pi))
        covariance = weight_variance * values + bias_variance
        kernel = covariance + weight_variance * slopes * kernel
        of_x, of_z = (weight_variance * v / 2 + bias_variance for v in (of_x, of_z))
    return kernel
