"""The settings of a run: one frozen tree, the same in a TOML file, in `--set key=value` and in Python."""

from collabdm.config.layers import PRESETS, config_toml, load_config, make_config, setting_tree
from collabdm.config.server import ServerSpec
from collabdm.config.settings import Config, EvaluateSpec, PartitionSpec, PlanSpec

__all__ = [
    "PRESETS",
    "Config",
    "EvaluateSpec",
    "PartitionSpec",
    "PlanSpec",
    "ServerSpec",
    "config_toml",
    "load_config",
    "make_config",
    "setting_tree",
]
