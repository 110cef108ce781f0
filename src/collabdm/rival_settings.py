"""Settings of the rivals, reachable as `rivals.<name>.<key>`: each a frozen model, a field of `RivalsSpec`.

They stand apart from the rivals themselves because a `Config` holds them, and the rivals need a `Config`.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from collabdm.networks import ClassifierSpec

__all__ = ["ClientTraining", "CoBoostingSpec", "DenseSpec", "RivalsSpec", "SynthesisSpec"]

# A quarter of the ConvNet that judges sets: a tenth of its work.
WIDTH = 32


def _network(value: object) -> object:
    if isinstance(value, str):
        value = {"name": value}
    if isinstance(value, dict) and value.get("name", "convnet") == "convnet":
        # So that setting the depth, say, does not change the width.
        return {"width": WIDTH} | value
    return value


class ClientTraining(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How a client trains the model that FedAvg, ensemble, DENSE and Co-Boosting receive.

    `least_steps`: a client of few samples runs more epochs, until it has done that many steps.
    """

    network: Annotated[ClassifierSpec, BeforeValidator(_network)] = ClassifierSpec(width=WIDTH)
    epochs: Annotated[int, Field(ge=1)] = 5
    least_steps: Annotated[int, Field(ge=1)] = 200
    batch: Annotated[int, Field(ge=2)] = 64
    lr: Annotated[float, Field(gt=0)] = 0.02
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4


class SynthesisSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What DENSE and Co-Boosting have in common: in each of `epochs` a generator makes one batch of images in
    `generator_steps`, which joins the pool; then the student takes `student_steps` on batches of the pool.

    `restart`: the generator starts anew for every batch, which takes more steps.
    """

    epochs: Annotated[int, Field(ge=1)] = 30
    batch: Annotated[int, Field(ge=2)] = 128
    latent: Annotated[int, Field(ge=1)] = 256
    generator_width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    generator_steps: Annotated[int, Field(ge=1)] = 15
    generator_lr: Annotated[float, Field(gt=0)] = 0.01
    restart: bool = False
    student_steps: Annotated[int, Field(ge=1)] = 20
    lr: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    temperature: Annotated[float, Field(gt=0)] = 4.0


class DenseSpec(SynthesisSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """DENSE; `cross_entropy`, `batch_norm` and `boundary` are the weights of the generator's three losses."""

    temperature: Annotated[float, Field(gt=0)] = 20.0
    cross_entropy: Annotated[float, Field(ge=0)] = 1.0
    batch_norm: Annotated[float, Field(ge=0)] = 1.0
    boundary: Annotated[float, Field(ge=0)] = 1.0


class CoBoostingSpec(SynthesisSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """Co-Boosting.

    `hardness`: the power of 1 - p in the weighted cross-entropy; `adversarial` and
    `batch_norm`: weights of the student's divergence and of the distance from the statistics of the batch norms;
    `perturbation`: how far a pixel (normalised) moves for diversity; `weight_step`: how far an ensemble weight moves
    per batch, falling by the factor `weight_decay` per epoch.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    hardness: Annotated[float, Field(ge=0)] = 1.0
    adversarial: Annotated[float, Field(ge=0)] = 1.0
    batch_norm: Annotated[float, Field(ge=0)] = 1.0
    perturbation: Annotated[float, Field(ge=0)] = 8 / 255
    weight_step: Annotated[float, Field(ge=0)] = 0.01
    weight_decay: Annotated[float, Field(gt=0, le=1)] = 0.99


class RivalsSpec(BaseModel, frozen=True, extra="forbid"):
    """`training`: the client models that several rivals share; then one field per rival that has settings."""

    training: ClientTraining = ClientTraining()
    dense: DenseSpec = DenseSpec()
    co_boosting: CoBoostingSpec = CoBoostingSpec()
