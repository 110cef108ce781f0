"""Settings that have another name now: the old one is still read, and said to be old."""

import warnings
from collections.abc import Mapping
from typing import Any

from collabdm.errors import ConfigError, RenamedWarning, explain

__all__ = ["RENAMED", "with_new_names"]

RENAMED = {"plan.pae": "plan.tiles", "partition.participation": "plan.participation"}


def with_new_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of settings with the names of today, and a `RenamedWarning` for every old one.

    Raises `ConfigError` where a setting is given under both names.
    """
    for old, new in RENAMED.items():
        (old_table, old_key), (new_table, new_key) = old.split("."), new.split(".")
        given = tree.get(old_table)
        if not isinstance(given, Mapping) or old_key not in given:
            continue
        target = tree.get(new_table, {})
        if not isinstance(target, Mapping):
            continue  # no table at all, which is told where settings are checked
        if new_key in target:
            raise ConfigError(explain(f"setting {old}", got=f"also {new}", expected="one of them", fix=f"drop {old}"))
        warnings.warn(RenamedWarning(f"the setting {old} is called {new} now; it is read as that"), stacklevel=2)
        tables = {old_table: {key: value for key, value in given.items() if key != old_key}}
        tree = {**tree, **tables}
        tree = {**tree, new_table: {**tree.get(new_table, {}), new_key: given[old_key]}}
    return dict(tree)
