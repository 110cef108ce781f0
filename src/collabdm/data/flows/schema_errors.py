"""What is wrong with a schema, in one line that names the key to write."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from collabdm.errors import ConfigError, as_json, explain, told

__all__ = ["contradiction", "schema_error"]

_KIND = "contradiction"


def contradiction(got: str, *, expected: str, fix: str) -> PydanticCustomError:
    """What a validator raises where keys do not fit together; `fix` shows what to write."""
    return PydanticCustomError(_KIND, "{expected}", {"got": got, "expected": expected, "fix": fix})


def schema_error(
    source: str, error: ValidationError, tree: object, settings: Mapping[str, type[BaseModel]]
) -> ConfigError:
    """The first fault of a schema read from `source`; `tree` is its JSON.

    `settings`: the model of each object, by the key that it stands under (`columns`, `station`; empty for the whole).
    """
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    what = f"schema {source}{_where(place, tree)}"
    if first["type"] == _KIND:
        context: dict[str, Any] = first.get("ctx", {})
        return ConfigError(explain(what, got=context["got"], expected=context["expected"], fix=context["fix"]))
    if first["type"] == "json_invalid":
        reason = str(first.get("ctx", {}).get("error", "it"))
        return ConfigError(explain(what, got=f"no JSON: {reason}", expected="a JSON file", fix="correct it there"))
    key = place[-1] if place else ""
    known = settings.get(place[0] if len(place) > 1 else "")
    names = list(known.model_fields) if known else []
    if first["type"] == "missing":
        fix = f'write "{key}": ... there; docs/flows.md says what it is'
        return ConfigError(explain(what, got="no such key", expected=f'the key "{key}"', fix=fix))
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, names, 1, 0.6)
        fix = f'write "{near[0]}" for it' if near else "take it out, or check its spelling"
        return ConfigError(explain(what, got=f'the key "{key}"', expected=f"one of {', '.join(names)}", fix=fix))
    fix = f'write another value for "{key}"' if place else "write an object of the keys in docs/flows.md"
    return ConfigError(explain(what, got=as_json(first["input"], 80), expected=told(first), fix=fix))


def _where(place: list[str], tree: object) -> str:
    """Where in the file; a column by its name, where it has one."""
    if len(place) > 1 and place[0] == "columns" and place[1].isdigit():
        try:
            name = tree["columns"][int(place[1])]["name"]  # pyright: ignore[reportIndexIssue]
        except (TypeError, KeyError, IndexError):
            name = None
        column = f"column {name}" if isinstance(name, str) and name else f"column {int(place[1]) + 1} of `columns`"
        return ", ".join(["", column, *([".".join(place[2:])] if place[2:] else [])])
    return f", {'.'.join(place)}" if place else ""
