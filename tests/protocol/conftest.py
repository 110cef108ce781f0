"""A modality of no pictures and with no compact form, and a network for it, under their names in the tables."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from collabdm.modalities import MODALITIES
from collabdm.modality import Modality
from collabdm.networks import NETWORKS, Network


class Rows(Modality, frozen=True, extra="forbid", allow_inf_nan=False):
    """A row of numbers."""

    kind: Literal["rows"] = "rows"
    length: Annotated[int, Field(ge=1, le=100)]

    plural: ClassVar[str] = "rows"
    network: ClassVar[str] = "one-layer"
    largest: ClassVar[float] = 10.0

    @property
    def shape(self) -> tuple[int]:
        return (self.length,)

    def tensors(self, values: np.ndarray, *, device: str, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(values).to(device, dtype)


def one_layer(shape: tuple[int, ...], classes: int, *, width: int = 4) -> Network:
    """An encoder of one linear layer."""
    return Network(nn.Sequential(nn.Linear(shape[0], width), nn.ReLU()), width, classes)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The fields of a plan that make its samples rows of five numbers."""
    monkeypatch.setitem(MODALITIES, "rows", Rows)
    monkeypatch.setitem(NETWORKS, "one-layer", one_layer)
    return {"sample": {"kind": "rows", "length": 5}, "network": {"name": "one-layer"}}
