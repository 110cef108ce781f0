"""Closed lists of names that come from tables, so that registering an entry is all it takes to make its name valid."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import AfterValidator

__all__ = ["named_in", "resolved_entry"]


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
