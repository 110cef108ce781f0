"""From settings and a data set's declared facts to a plan, and to a resolved engine."""

from collabdm.planning.choices import (
    augmentation_for,
    fitted,
    local_for,
    network_for,
    networks_tested,
    recipe_for,
    sample_for,
    tiles_in,
)
from collabdm.planning.decided import check_decided, check_site_settings
from collabdm.planning.engines import engine_for, gigaflop, resolved, settings_for, work_of
from collabdm.planning.plans import make_plan, promised

__all__ = [
    "augmentation_for",
    "check_decided",
    "check_site_settings",
    "engine_for",
    "fitted",
    "gigaflop",
    "local_for",
    "make_plan",
    "network_for",
    "networks_tested",
    "promised",
    "recipe_for",
    "resolved",
    "sample_for",
    "settings_for",
    "tiles_in",
    "work_of",
]
