"""Putting tensors where, and in the layout in which, they are computed fastest."""

import torch
from torch import Tensor

__all__ = ["channels_last", "uploaded"]


def uploaded(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on `device`, without waiting for what a GPU has yet to do.

    Torch's plain `to` waits, and a loop of small operations then runs no faster than they can be launched. The values
    are those at the call: memory that is not pinned is copied aside first.
    """
    return tensor.to(device, tensor.dtype if dtype is None else dtype, non_blocking=device.type == "cuda")


def channels_last(images: Tensor) -> Tensor:
    """The same [n, C, H, W], with strides by which torch knows them for channels-last even where C is 1.

    `contiguous(memory_format=torch.channels_last)` leaves a single channel's strides alone; torch then computes all
    that follows channels first, and average pooling alone takes ten times as long.
    """
    n, channels, height, width = images.shape
    return images.permute(0, 2, 3, 1).reshape(n, -1).view(n, height, width, channels).permute(0, 3, 1, 2)
