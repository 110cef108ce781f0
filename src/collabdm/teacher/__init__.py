"""What the server learns from second-order sums: a classifier of all data, and what it asks of a synthetic set."""

from collabdm.teacher.guide import Guide
from collabdm.teacher.pooled import check_rule, pooled_equations, teacher_parameters, teacher_views
from collabdm.teacher.ridge import Ridge, ridge
from collabdm.teacher.teacher import Teacher, teacher_of

__all__ = [
    "Guide",
    "Ridge",
    "Teacher",
    "check_rule",
    "pooled_equations",
    "ridge",
    "teacher_of",
    "teacher_parameters",
    "teacher_views",
]
