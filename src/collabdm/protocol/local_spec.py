"""How a client distils its own data, S_k: a method and its settings, carried by the plan."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

__all__ = ["BpttSpec", "FedDMSpec", "GradientSpec", "KipSpec", "LocalMethod", "LocalSpec"]

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Steps = Annotated[int, Field(ge=0, le=1_000_000)]
Rate = Annotated[float, Field(gt=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=4, le=4096, multiple_of=4)]

LocalMethod = Literal["dm", "kip", "gmm", "dbscan", "gradient", "bptt", "feddm", "real"]


class KipSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Kernel-ridge distillation (KIP), with FedD3's settings.

    Adam at rate `lr` on the images, each step against `batch` real samples, as many of every class; `ridge` is relative
    to the mean of the kernel's diagonal. It stops early at a batch whose accuracy is above `stop`. (FedD3's own batches
    are of 5000 by its code's default, of 10 by its instructions.)
    """

    iterations: Steps = 3000
    lr: Rate = 4e-3
    batch: Count = 500
    ridge: Rate = 1e-6
    stop: Annotated[float, Field(gt=0, le=1)] = 0.999


class GradientSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Gradient matching (DC, Zhao et al. 2020), class by class on `batch` real samples.

    Every `restart` steps the network starts anew; between two steps it takes `inner` steps of training on the images.
    The authors take 10,000 steps with `batch` 256 and `inner` 50, hours of a processor's work.
    """

    iterations: Steps = 200
    lr: Rate = 0.1
    momentum: Momentum = 0.5
    batch: Count = 64
    restart: Count = 10
    inner: Steps = 5
    inner_lr: Rate = 0.01


class BpttSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Distillation through training, with a random truncated window (RaT-BPTT, Feng et al. 2024).

    A network takes up to `unroll` Adam steps at `inner_lr` on at most `per_class` images of each class; the gradient
    flows back through the last `window` of them, from the loss on `batch` real samples, clipped at `clip` times its
    running norm; Adam at rate `lr` moves the images. `reset`: the network starts at the server's initial weights plus
    so much of an independent draw (DOSFL's soft reset); at 1 nearly a fresh one. `width` of the unrolled network.

    The authors take 60,000 iterations with `unroll` 200, `window` 60, rates 1e-3, `batch` 5000 and full width.
    """

    iterations: Steps = 150
    lr: Rate = 0.01
    unroll: Count = 30
    window: Count = 6
    inner_lr: Rate = 3e-3
    per_class: Count = 10
    batch: Count = 512
    clip: Rate = 2.0
    reset: Annotated[float, Field(ge=0)] = 1.0
    width: Width | None = 32

    @model_validator(mode="after")
    def _window_fits(self) -> "BpttSpec":
        if self.window > self.unroll:
            raise ValueError("window must not be above unroll")
        return self


class FedDMSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Means of features and logits matched around one network (FedDM, Xiong et al. 2023).

    Each iteration moves the server's weights by a Gaussian direction of length `radius`. The authors take 1000
    iterations with `batch` 256.
    """

    iterations: Steps = 200
    lr: Rate = 1.0
    momentum: Momentum = 0.5
    batch: Count = 64
    radius: Annotated[float, Field(ge=0)] = 5.0


class LocalSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The client's own distillation: S_k.

    `method`: `dm`, distribution matching (LocalDM), whose settings are the fields up to `reuse`; `kip`, `gradient`,
    `bptt` and `feddm`, whose settings are in a table of that name; `gmm` and `dbscan`, coresets; or `real`, real images
    as they are. `init` is for all of them.

    `reuse`: match the means that are computed for the server anyway (second moments kept, not sent), instead of
    embedding fresh batches of `batch` real samples per class under fresh encoders.
    """

    method: LocalMethod = "dm"
    iterations: Steps = 1000
    lr: Rate = 1.0
    momentum: Momentum = 0.5
    batch: Annotated[int, Field(ge=1)] = 256
    reuse: bool = True
    init: Literal["real", "noise"] = "real"
    kip: KipSpec | None = None
    gradient: GradientSpec | None = None
    bptt: BpttSpec | None = None
    feddm: FedDMSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_settings(cls, fields: Any) -> Any:
        """The chosen method's table is written out, so that a plan says it all."""
        if isinstance(fields, Mapping) and (method := fields.get("method")) in TABLES:
            return {method: {}} | {name: value for name, value in fields.items() if value is not None}
        return fields

    @model_validator(mode="after")
    def _only_its_own(self) -> "LocalSpec":
        for name in TABLES:
            if getattr(self, name) is not None and self.method != name:
                raise ValueError(f"local.{name} goes with local.method = {name}")
        if self.method in ("real", "gmm", "dbscan") and self.init != "real":
            raise ValueError(f"local.method = {self.method} goes with local.init = real")
        return self

    @property
    def reuses(self) -> bool:
        """Whether the method matches the client's statistics."""
        return self.method == "dm" and self.reuse

    @property
    def rate(self) -> tuple[str, float]:
        """The learning rate of the images: the setting's name, and its value (0 where nothing is learned)."""
        own = getattr(self, self.method, None) if self.method in TABLES else self
        return ("local.lr" if own is self else f"local.{self.method}.lr"), getattr(own, "lr", 0.0)


TABLES = ("kip", "gradient", "bptt", "feddm")
