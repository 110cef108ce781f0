"""The settings of the server's own work."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from collabdm.matching.aggregation import ESTIMATORS, Rule
from collabdm.matching.step import StepKind
from collabdm.protocol import LOCAL_METHODS, Plan
from collabdm.registry import named_in

__all__ = ["UNBOUNDED", "ServerSpec"]

UNBOUNDED = 1e9
"""A `reach` beyond any step."""

# Measured under a promise with its ten seeds, on rows (docs/tables.md) and digits (docs/results.md): after five passes
# a set that starts from noise is hardly begun.
_STEPS_FROM_NOISE = 600
# As many times the modality's own rate: letter with epsilon 10 (docs/tables.md), series of digits.
_RATE_FROM_NOISE = 20


class ServerSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of the server's own work; clients need not know them.

    `passes` over the T targets (Algorithm 1 is one pass; from noise more, where unset); `lr`: unset, that of the
    modality if it has its own (tables: 0.1, series: 1), and twenty times that where
    the set starts from noise; `reach`: how far the
    gradient of one step takes a sample at most, in root mean square over its values, as a multiple of the standard
    deviation over those of the whole set (at the full `lr`; it falls with the schedule), which a large number switches
    off; `bounded`: whether every step ends within the range of real samples (`Modality.bounded`; images: between black
    and white); `batch`: synthetic samples of a class per step (S_t^y), all by default; `weighting`: `count`, by the
    samples held (the global mean), or `uniform`, all participants alike (the authors' code); `teacher`: where the plan
    has the Gram matrix, the length of the gradient of its `teacher_loss` on the set as a multiple of the matching
    gradient's, 0 for none, computed on `teacher_batch` of the samples a step: the ridge classifier's `cross-entropy`,
    or `kernel`, the error on all data of the batch's own kernel ridge classifier; `aggregation`, `trim` and `clip`: the
    rule against hostile participants (docs/trust.md), none by default; `evaluate_every`: seeds between evaluations on
    the way, 0 for none; `draw`: the number by which the start set is drawn, unset by default: a held round takes one
    that nobody can foresee and keeps it, all else one that follows from the contributions.
    """

    passes: Annotated[int, Field(ge=0, le=10_000)] = 5
    lr: Annotated[float, Field(gt=0)] = 20.0
    schedule: Literal["constant", "cosine"] = "cosine"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    reach: Annotated[float, Field(gt=0)] = 0.05
    bounded: bool = False
    step: StepKind = "joint"
    batch: Annotated[int, Field(ge=1)] | None = None
    weighting: Literal["count", "uniform"] = "count"
    teacher: Annotated[float, Field(ge=0)] = 1.0
    teacher_batch: Annotated[int, Field(ge=1)] = 128
    teacher_loss: Literal["cross-entropy", "kernel"] = "cross-entropy"
    aggregation: Annotated[str, named_in(ESTIMATORS)] = "mean"
    trim: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    clip: Annotated[float, Field(ge=1)] | None = None
    evaluate_every: Annotated[int, Field(ge=0)] = 0
    draw: Annotated[int, Field(ge=0, lt=2**53)] | None = None

    def fitted(self, plan: Plan) -> "ServerSpec":
        """These settings, with the modality's own rate where `lr` is not set: one that moves a good start a little.

        From noise, where a plan has no local sets, a set has all the way to go: at twenty times that rate, and where
        `passes` is not set and seeds are few, in as many as make 600 steps.
        """
        noise = LOCAL_METHODS[plan.local.method].empty
        fitted = dict[str, float]()
        if plan.sample.rate is not None and "lr" not in self.model_fields_set:
            fitted["lr"] = plan.sample.rate * (_RATE_FROM_NOISE if noise else 1)
        if noise and "passes" not in self.model_fields_set:
            fitted["passes"] = max(self.passes, -(-_STEPS_FROM_NOISE // max(plan.seeds, 1)))
        return self.model_copy(update=fitted) if fitted else self

    @property
    def rule(self) -> Rule:
        """How the participants' statistics become one."""
        return Rule(aggregation=self.aggregation, trim=self.trim, clip=self.clip)
