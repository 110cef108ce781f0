"""How a client distils its own data, S_k: a method and its settings, carried by the plan."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

__all__ = ["GradientSpec", "KipSpec", "LocalSpec"]

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Steps = Annotated[int, Field(ge=0, le=1_000_000)]
Rate = Annotated[float, Field(gt=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class KipSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Kernel-ridge distillation (KIP), with FedD3's settings.

    Adam at rate `lr` on the images, each step against `batch` real samples, as many of every class; `ridge` is relative
    to the mean of the kernel's diagonal. It stops early at a batch whose accuracy is above `stop`.
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


class LocalSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The client's own distillation: S_k.

    `method`: `dm`, distribution matching (LocalDM), whose settings are the fields up to `reuse`; `kip` and `gradient`,
    whose settings are in a table of that name; or `real`, real images as they are. `init` is for all of them.

    `reuse`: match the means that are computed for the server anyway (second moments kept, not sent), instead of
    embedding fresh batches of `batch` real samples per class under fresh encoders.
    """

    method: Literal["dm", "kip", "gradient", "real"] = "dm"
    iterations: Steps = 1000
    lr: Rate = 1.0
    momentum: Momentum = 0.5
    batch: Annotated[int, Field(ge=1)] = 256
    reuse: bool = True
    init: Literal["real", "noise"] = "real"
    kip: KipSpec | None = None
    gradient: GradientSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_settings(cls, fields: Any) -> Any:
        """The chosen method's table is written out, so that a plan says it all."""
        if isinstance(fields, Mapping) and (method := fields.get("method")) in ("kip", "gradient"):
            return {method: {}} | {name: value for name, value in fields.items() if value is not None}
        return fields

    @model_validator(mode="after")
    def _only_its_own(self) -> "LocalSpec":
        for name, given in (("kip", self.kip), ("gradient", self.gradient)):
            if given is not None and self.method != name:
                raise ValueError(f"local.{name} goes with local.method = {name}")
        if self.method == "real" and self.init != "real":
            raise ValueError("local.method = real goes with local.init = real")
        return self

    @property
    def reuses(self) -> bool:
        """Whether the method matches the client's statistics."""
        return self.method == "dm" and self.reuse
