"""What is wrong with a setting, in one line."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from collabdm.errors import ConfigError, explain, got_in, nearest_name, told

__all__ = ["explained"]

# What pydantic adds to the path of an error inside a union.
_BRANCHES = ("function-", "literal[", "tuple[", "constrained-", "Normalisation", "Engine")


def explained(error: ValidationError, settings: type[BaseModel]) -> ConfigError:
    """The error that says most, in one line; `settings`: the whole tree, among whose names a near one is looked for."""
    first = max(error.errors(), key=_told)
    unknown = first["type"] == "extra_forbidden"
    parts = first["loc"][:-1] if unknown else first["loc"]
    named = [str(part) for part in parts if not str(part).startswith(_BRANCHES)]
    where = ".".join(named + [str(part) for part in first["loc"][len(parts) :]])
    if unknown:
        return ConfigError(
            explain(
                f"setting {where}"[:200],
                got="an unknown key",
                expected="a setting that docs/settings.md lists",
                fix=_spelling(where, settings),
            )
        )
    message = told(first)
    return ConfigError(
        explain(
            f"setting {where}"[:200] if where else "settings",
            got=got_in(first) if where else "some that do not go together",
            expected=message,
            fix=_meant(first["input"], message),
        )
    )


def _spelling(key: str, settings: type[BaseModel]) -> str:
    near = nearest_name(key, _setting_names(settings))
    return f"did you mean {near}?" if near else "check its spelling"


def _meant(got: object, expected: str) -> str:
    """`expected` may list names, as of a table or of a literal."""
    listed = expected.removeprefix("one of ").replace(" or ", ", ").split(", ")
    near = nearest_name(got, [name.strip("'") for name in listed]) if isinstance(got, str) and len(listed) > 1 else None
    return f"did you mean {near}?" if near else "correct it"


def _setting_names(model: type[BaseModel], within: str = "") -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        names.append(within + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _setting_names(field.annotation, f"{within}{name}.")
    return names


def _told(error: Mapping[str, Any]) -> tuple[bool, int, bool]:
    """How much an error says: of the branches of a union, the one that was meant went furthest."""
    other_kind = error["type"] in ("literal_error", "model_type", "tuple_type")
    return error["type"] == "extra_forbidden", len(error["loc"]), not other_kind
