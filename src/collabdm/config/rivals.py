"""Settings of the rivals, reachable as `rivals.<name>.<key>`: each a frozen model, a field of `RivalsSpec`.

They stand apart from the rivals themselves because a `Config` holds them, and the rivals need a `Config`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from collabdm.networks import ClassifierSpec
from collabdm.protocol import BpttSpec, FedDMSpec, KipSpec

__all__ = [
    "ClientTraining",
    "CoBoostingSpec",
    "DenseSpec",
    "DosflSoftSpec",
    "RivalsSpec",
    "StrawmanMetaSpec",
    "StrawmanSpec",
    "SynthesisSpec",
    "network_of_clients",
]

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

    `network`: a ConvNet stands for the usual network of samples that have another. `least_steps`: a client of few
    samples runs more epochs, until it has done that many steps.
    """

    network: Annotated[ClassifierSpec, BeforeValidator(_network)] = ClassifierSpec(width=WIDTH)
    epochs: Annotated[int, Field(ge=1)] = 5
    least_steps: Annotated[int, Field(ge=1)] = 200
    batch: Annotated[int, Field(ge=2)] = 64
    lr: Annotated[float, Field(gt=0)] = 0.02
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4


def network_of_clients(asked: ClassifierSpec, usual: str) -> ClassifierSpec:
    """The clients' network for samples whose `usual` one is named: what is `asked` where that is a ConvNet.

    Elsewhere a ConvNet has no place: it stands for the usual network there. Its width, unless another is set, and batch
    norm are meant for images, so that other networks have their own.
    """
    if usual == "convnet":
        return asked
    fields = asked.model_dump(exclude_none=True) | {"norm": None if asked.norm == "batch" else asked.norm}
    if asked.name == "convnet":
        fields |= {"name": usual, "width": None if asked.width == WIDTH else asked.width}
    return ClassifierSpec.model_validate(fields)


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


class DosflSoftSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """DOSFL in its own form (Zhou et al. 2020): images, soft labels and step sizes are learned.

    A client's budget of images is shared among `steps` steps of gradient descent, run `epochs` times over. Each
    iteration starts at the server's initial weights plus `reset` of an independent draw, leaves out each step with
    chance `mask`, and moves all that is learned by Adam at rate `lr` (`label_lr` for labels and step sizes).
    """

    iterations: Annotated[int, Field(ge=0)] = 150
    lr: Annotated[float, Field(gt=0)] = 0.02
    label_lr: Annotated[float, Field(gt=0)] = 0.02
    steps: Annotated[int, Field(ge=1)] = 5
    epochs: Annotated[int, Field(ge=1)] = 2
    step_size: Annotated[float, Field(gt=0)] = 0.02
    batch: Annotated[int, Field(ge=1)] = 256
    reset: Annotated[float, Field(ge=0)] = 0.2
    mask: Annotated[float, Field(ge=0, lt=1)] = 0.3
    width: Annotated[int, Field(ge=4, multiple_of=4)] | None = 32


class StrawmanSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Collaborative distillation over many rounds (section 4.1): each broadcasts a network and gathers gradients.

    `init`: the union of the clients' local sets (as `local` says, its bytes counted), or noise.
    `batch`: real samples per client (and class, for gradient matching) in a round. `points`: sets judged on the way.
    Gradient matching takes `inner` steps on the set between rounds and a new network every `restart` rounds;
    meta-learning unrolls up to `unroll` Adam steps and looks back `window` of them.
    """

    rounds: Annotated[int, Field(ge=0)] = 40
    points: Annotated[int, Field(ge=0)] = 4
    batch: Annotated[int, Field(ge=1)] = 64
    lr: Annotated[float, Field(gt=0)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    restart: Annotated[int, Field(ge=1)] = 10
    inner: Annotated[int, Field(ge=1)] = 5
    inner_lr: Annotated[float, Field(gt=0)] = 0.01
    unroll: Annotated[int, Field(ge=1)] = 10
    window: Annotated[int, Field(ge=1)] = 4
    init: Literal["local", "noise"] = "local"


class StrawmanMetaSpec(StrawmanSpec, frozen=True, extra="forbid", allow_inf_nan=False):
    """The strawman that learns by meta-learning: its defaults, also where only some of its keys are set."""

    batch: Annotated[int, Field(ge=1)] = 256
    lr: Annotated[float, Field(gt=0)] = 0.01
    inner_lr: Annotated[float, Field(gt=0)] = 3e-3


class RivalsSpec(BaseModel, frozen=True, extra="forbid"):
    """`training`: the client models that several rivals share; then one field per rival that has settings."""

    training: ClientTraining = ClientTraining()
    dense: DenseSpec = DenseSpec()
    co_boosting: CoBoostingSpec = CoBoostingSpec()
    fedd3: KipSpec = KipSpec()
    dosfl: BpttSpec = BpttSpec()
    dosfl_soft: DosflSoftSpec = DosflSoftSpec()
    feddm: FedDMSpec = FedDMSpec()
    strawman_gradient: StrawmanSpec = StrawmanSpec()
    strawman_meta: StrawmanMetaSpec = StrawmanMetaSpec()
