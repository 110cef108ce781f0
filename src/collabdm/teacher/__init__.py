"""What the server learns from second-order sums: a classifier of all data, and what it asks of a synthetic set."""

from collabdm.teacher.equations import NormalEquations, normal_equations
from collabdm.teacher.pooled import check_rule, pooled_equations, teacher_parameters
from collabdm.teacher.ridge import Ridge, ridge

__all__ = [
    "NormalEquations",
    "Ridge",
    "check_rule",
    "normal_equations",
    "pooled_equations",
    "ridge",
    "teacher_parameters",
]
