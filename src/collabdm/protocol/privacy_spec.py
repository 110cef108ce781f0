"""The promise of differential privacy that a plan makes, and what it takes to keep it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

__all__ = ["PrivacyShares", "PrivacySpec"]

_Share = Annotated[float, Field(ge=0, le=1)]


class PrivacyShares(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How the squared length of what is summed for one sample is shared among its parts; they add up to one.

    `means`: its embeddings under all seeds together; `gram`: the outer product of its features; `features`: these
    themselves, in its class; `counts`: the one by which it is counted.
    """

    means: _Share = 0.3
    gram: _Share = 0.4
    features: _Share = 0.25
    counts: _Share = 0.05

    @model_validator(mode="after")
    def _whole(self) -> "PrivacyShares":
        total = self.means + self.gram + self.features + self.counts
        if abs(total - 1) > 1e-9 or self.counts == 0:
            raise ValueError(f"the shares must add up to 1, with some for counts; they add up to {total:g}")
        return self


class PrivacySpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """(`epsilon`, `delta`)-differential privacy of all that a site sends, against adding or removing one `unit`.

    `unit`: a `sample`, or a `group`, all samples with the same value of a column that the site names (a patient, a
    device): they count together as one sample, so that a site with many of one patient says no more of this patient.
    `shares`: of the parts. `samples`: the most samples that all sites together may hold, which bounds the integers in
    which sums travel.
    `noise`: where it is whole. With `site` every site adds the whole noise to its own sums, so the promise holds
    against everyone, the server too, whatever the other sites do. With `sum`, which goes with `plan.masks` only, every
    site adds noise of variance sigma^2 / `masks.threshold`: any that many sites together have the whole, and the sum
    carries far less. The promise then holds for the sum and all that is made of it, against everyone who sees no more:
    against the server, other sites and whoever gets the set, as long as `masks.threshold` of the sites that contributed
    add their noise and tell nobody of it, and the server, which may be curious but does as it says, has no masks opened
    of a site whose contribution it has. Of a site's own sums, without its masks, it promises far less (an epsilon about
    sqrt(`masks.threshold`) times as large, and more).
    """

    epsilon: Annotated[float, Field(gt=0, le=100)]
    delta: Annotated[float, Field(gt=0, le=0.1)] = 1e-5
    unit: Literal["sample", "group"] = "sample"
    shares: PrivacyShares = PrivacyShares()
    samples: Annotated[int, Field(ge=1, le=10**8)] = 1_000_000
    noise: Literal["site", "sum"] = "site"
