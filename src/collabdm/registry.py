"""Closed lists of names that come from tables, so that registering an entry is all it takes to make its name valid."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from pydantic import AfterValidator

__all__ = ["TABLES", "Table", "added_entries", "enter", "named_in", "resolved_entry"]

TABLES = (
    "collabdm.images.augment:OPERATIONS",
    "collabdm.matching.statistic:STATISTICS",
    "collabdm.modalities:MODALITIES",
    "collabdm.networks:NETWORKS",
    "collabdm.protocol.encoding:ENCODINGS",
    "collabdm.protocol.local_spec:LOCAL_METHODS",
)
"""Tables whose names a client's work or a network's training looks up, in whatever process it is done."""

V = TypeVar("V")


class Table(dict[str, V]):
    """A dictionary that remembers what it was made with."""

    def __init__(self, entries: Mapping[str, V]) -> None:
        super().__init__(entries)
        self._made_with = dict(entries)

    def added(self) -> dict[str, V]:
        """Entries that were added or replaced since."""
        missing = object()
        return {name: entry for name, entry in self.items() if self._made_with.get(name, missing) is not entry}


def added_entries() -> dict[str, dict[str, Any]]:
    """What was added to `TABLES`, for another process to `enter`."""
    found = {where: resolved_entry(where).added() for where in TABLES}
    return {where: entries for where, entries in found.items() if entries}


def enter(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Add to `TABLES` what `added_entries` found in another process."""
    for where, added in entries.items():
        resolved_entry(where).update(added)


def named_in(table: Mapping[str, object]) -> AfterValidator:
    """A validator of text that must be a key of `table`, looked up when the text is read, not when a class is made.

    It raises `ValueError` (which pydantic reports as a validation error) for any other text.
    """

    def known(name: str) -> str:
        if name not in table:
            raise ValueError(f"one of {', '.join(table)}")
        return name

    return AfterValidator(known)


def resolved_entry(entry: Any) -> Any:
    """A table's entry itself, or the object that an entry written as `package.module:name` stands for.

    Tables below the code that they name are written so: importing it there would make imports run in a circle.
    """
    if not isinstance(entry, str):
        return entry
    module, _, name = entry.partition(":")
    return getattr(import_module(module), name)
