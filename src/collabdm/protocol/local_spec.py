"""How a client distils its own data, S_k: a method and its settings, carried by the plan.

A new method is one file and one line in `LOCAL_METHODS`; its settings, if it has any, are a table of its name in
`local`, as in `--set local.kip.lr=0.01`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from collabdm.matching.statistic import MOMENTS, Statistic
from collabdm.registry import Table, named_in

__all__ = ["LOCAL_METHODS", "BpttSpec", "FedDMSpec", "GradientSpec", "KipSpec", "LocalMethod", "LocalSpec"]

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Steps = Annotated[int, Field(ge=0, le=1_000_000)]
Rate = Annotated[float, Field(gt=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=4, le=4096, multiple_of=4)]


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


@dataclass(frozen=True, kw_only=True)
class LocalMethod:
    """A line of `LOCAL_METHODS`.

    `run`: a function (`LocalJob`, initial samples [n, *shape], labels [n], report) to distilled samples, or where it
    is, as `package.module:name` (those modules need what a plan is, and a plan needs this table). `settings`: the class
    of its own table of settings. `reuses`: the statistic that it can match instead of embedding fresh data.
    `starts_real`: it makes no sense from noise. `empty`: there is no local set, and all that is sent is sums.
    `centres`: what it sends, where that is means of real samples which lie together.
    """

    run: str | Callable[..., Any]
    settings: type[BaseModel] | None = None
    reuses: Statistic | None = None
    starts_real: bool = False
    empty: bool = False
    centres: str = ""


LOCAL_METHODS: dict[str, LocalMethod] = Table(
    {
        # Moments with and without tiles, though only with them more than the mean is matched: plans share the sums.
        "dm": LocalMethod(run="collabdm.local.dm:matched_samples", reuses=MOMENTS),
        "kip": LocalMethod(run="collabdm.local.kip:kip_samples", settings=KipSpec),
        "gmm": LocalMethod(
            run="collabdm.local.coresets:mixture_means", starts_real=True, centres="means of a Gaussian mixture"
        ),
        "dbscan": LocalMethod(
            run="collabdm.local.coresets:cluster_means", starts_real=True, centres="means of clusters"
        ),
        "kmeans": LocalMethod(
            run="collabdm.local.coresets:kmeans_centres", starts_real=True, centres="centres of k-means"
        ),
        "agglomerative": LocalMethod(
            run="collabdm.local.coresets:ward_centres", starts_real=True, centres="means of clusters"
        ),
        "herding": LocalMethod(run="collabdm.local.coresets:herded", starts_real=True),
        "gradient": LocalMethod(run="collabdm.local.gradient:gradient_samples", settings=GradientSpec),
        "bptt": LocalMethod(run="collabdm.local.bptt:bptt_samples", settings=BpttSpec),
        "feddm": LocalMethod(run="collabdm.local.feddm:one_network_samples", settings=FedDMSpec),
        "real": LocalMethod(run="collabdm.local.start:unchanged", starts_real=True),
        "none": LocalMethod(run="collabdm.local.start:unchanged", empty=True),
    }
)

Settings = TypeVar("Settings", bound=BaseModel)


class LocalSpec(BaseModel, frozen=True, extra="allow", allow_inf_nan=False):
    """The client's own distillation: S_k.

    `method`: `dm`, distribution matching (LocalDM), whose settings are the fields up to `reuse`; a method with settings
    of its own, in a table of its name (`kip`, `gradient`, `bptt`, `feddm`); `gmm`, `dbscan`, `kmeans`,
    `agglomerative` and `herding`, coresets; `real`,
    real samples as they are; or `none`, no local set, so that all that leaves a site is sums over its samples. `init`
    is for all of them.

    `reuse`: match the means that are computed for the server anyway (second moments kept, not sent), instead of
    embedding fresh batches of `batch` real samples per class under fresh encoders.
    """

    method: Annotated[str, named_in(LOCAL_METHODS)] = "dm"
    iterations: Steps = 1000
    lr: Rate = 1.0
    momentum: Momentum = 0.5
    batch: Annotated[int, Field(ge=1)] = 256
    reuse: bool = True
    init: Literal["real", "noise"] = "real"

    @model_validator(mode="before")
    @classmethod
    def _with_settings(cls, fields: Any) -> Any:
        """The chosen method's table is written out, so that a plan says it all; any other further key is an error."""
        if not isinstance(fields, Mapping):
            return fields
        own = {name: value for name, value in fields.items() if name in cls.model_fields}
        further = {name: value for name, value in fields.items() if name not in own}
        # A table that was left out, as older writers say it.
        further = {name: value for name, value in further.items() if value is not None or not _settings_of(name)}
        method = own.get("method", cls.model_fields["method"].default)
        for name in further:
            if name != method and _settings_of(name) is not None:
                raise ValueError(f"local.{name} goes with local.method = {name}")
        settings = _settings_of(method)
        table: dict[str, Any] = {} if settings is None else {str(method): (settings, settings())}
        # A class of its own, so that pydantic names what is wrong with it by its whole path.
        checked = create_model("LocalTables", __config__=ConfigDict(extra="forbid"), **table).model_validate(further)
        return own | {name: getattr(checked, name) for name in table}

    @model_validator(mode="after")
    def _starts_as_it_must(self) -> "LocalSpec":
        if LOCAL_METHODS[self.method].starts_real and self.init != "real":
            raise ValueError(f"local.method = {self.method} goes with local.init = real")
        return self

    @property
    def statistic(self) -> Statistic | None:
        """The statistic of the client's own sums that the method matches; None where it embeds fresh data, or none."""
        return LOCAL_METHODS[self.method].reuses if self.reuse else None

    @property
    def rate(self) -> tuple[str, float]:
        """The learning rate of the samples: the setting's name, and its value (0 where nothing is learned)."""
        if LOCAL_METHODS[self.method].settings is None:
            return "local.lr", self.lr
        return f"local.{self.method}.lr", getattr(getattr(self, self.method), "lr", 0.0)

    def own(self, settings: type[Settings]) -> Settings:
        """The table of the chosen method, whose class is `settings`."""
        found = getattr(self, self.method)
        assert isinstance(found, settings), self.method
        return found


def _settings_of(method: object) -> type[BaseModel] | None:
    entry = LOCAL_METHODS.get(method) if isinstance(method, str) else None
    return entry.settings if entry else None
