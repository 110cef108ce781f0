"""Settings of the rivals, reachable as `rivals.<name>.<key>`: each a frozen model, a field of `RivalsSpec`.

They stand apart from the rivals themselves because a `Config` holds them, and the rivals need a `Config`.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from collabdm.networks import ClassifierSpec

__all__ = ["ClientTraining", "RivalsSpec"]


def _network(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class ClientTraining(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How a client trains the model that FedAvg, ensemble, DENSE and Co-Boosting receive.

    `least_steps`: a client of few samples runs more epochs, until it has done that many steps.
    """

    network: Annotated[ClassifierSpec, BeforeValidator(_network)] = ClassifierSpec(width=64, norm="batch")
    epochs: Annotated[int, Field(ge=1)] = 5
    least_steps: Annotated[int, Field(ge=1)] = 200
    batch: Annotated[int, Field(ge=2)] = 64
    lr: Annotated[float, Field(gt=0)] = 0.02
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4


class RivalsSpec(BaseModel, frozen=True, extra="forbid"):
    """`training`: the client models that several rivals share; then one field per rival that has settings."""

    training: ClientTraining = ClientTraining()
