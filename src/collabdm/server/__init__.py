"""What the server does between the contributions and the distilled set: aggregate, initialise, refine."""

from collabdm.matching.target import Target
from collabdm.server.aggregating import aggregate
from collabdm.server.distilling import distill, product, protected_start
from collabdm.server.refining import Refinement, check_finite, initial_state, refine, tell_worse

__all__ = [
    "Refinement",
    "Target",
    "aggregate",
    "check_finite",
    "distill",
    "initial_state",
    "product",
    "protected_start",
    "refine",
    "tell_worse",
]
