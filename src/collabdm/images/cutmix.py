"""CutMix: a rectangle of an image gives way to the same rectangle of another (Yun et al., ICCV 2019)."""

import numpy as np
import torch
from torch import Tensor

from collabdm.engine.placing import uploaded

__all__ = ["cutmix"]


def cutmix(images: Tensor, partners: Tensor, uniforms: np.ndarray) -> tuple[Tensor, Tensor]:
    """Images [n, C, H, W] with a rectangle of their partners, and the share of the pixels that are still their own [n].

    Of the numbers in [0, 1) of each image, `uniforms` [n, 3], the first is the share that a whole rectangle leaves, of
    the sides' proportions; the others are its centre. At the border it is cut off, and the share says what is left.
    """
    inside = []
    for axis, side in enumerate(images.shape[2:]):
        # In float64 whatever the images' dtype, so that every engine cuts at the same pixel.
        cut = np.floor(side * np.sqrt(1 - uniforms[:, 0])).astype(np.int64)
        start = np.floor(uniforms[:, 1 + axis] * side).astype(np.int64) - cut // 2
        position = np.arange(side)
        inside.append((position >= start[:, None]) & (position < (start + cut)[:, None]))
    taken = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    share = 1 - taken.mean(axis=(1, 2, 3))
    mixed = torch.where(uploaded(torch.from_numpy(taken), images.device), partners, images)
    return mixed, uploaded(torch.from_numpy(share), images.device, images.dtype)
