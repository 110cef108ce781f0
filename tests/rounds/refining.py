"""The server's steps one after another, from any set."""

from torch import Tensor

from collabdm.config import ServerSpec
from collabdm.engine import Engine
from collabdm.protocol import Plan
from collabdm.server import Target, initial_state, refine


def refined(
    plan: Plan, target: Target, samples: Tensor, labels: Tensor, spec: ServerSpec, *, engine: Engine
) -> tuple[Tensor, list[float]]:
    """The samples after every pass, and the loss of every step."""
    state, losses = initial_state(samples, labels, engine), []
    for refinement in refine(plan, target, state, spec, engine=engine):
        state = refinement.state
        losses.append(refinement.loss)
    return state.samples, losses
