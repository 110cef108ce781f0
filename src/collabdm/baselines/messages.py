"""Networks and gradients as the bytes of one message."""

from collections.abc import Mapping

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor

from collabdm.engine import Engine
from collabdm.protocol.encoding import plain_floats

__all__ = ["packed", "unpacked"]

LARGEST = ".largest"


def packed(tensors: Mapping[str, Tensor], encoding: str) -> bytes:
    """A safetensors file, floats in `encoding`: every tensor divided by its largest magnitude, which goes along.

    Gradients may be far below what half precision can hold.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        array = value.detach().float().cpu().numpy()
        largest = np.abs(array).max(initial=0.0)
        arrays[name + LARGEST] = np.array([largest], np.float32)
        arrays[name] = np.ascontiguousarray(plain_floats(array / (largest or 1.0), encoding))
    return save(arrays)


def unpacked(content: bytes, engine: Engine) -> dict[str, Tensor]:
    """The tensors by name, on the engine's device in the dtype of images."""
    arrays = load(content)
    return {
        name: torch.from_numpy(value.astype(np.float32) * arrays[name + LARGEST]).to(engine.device, engine.sample_dtype)
        for name, value in sorted(arrays.items())
        if not name.endswith(LARGEST)
    }
