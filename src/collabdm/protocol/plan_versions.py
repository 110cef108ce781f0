"""Plans of version 1: the same in other words (docs/wire.md)."""

from collections.abc import Mapping
from typing import Any

from collabdm.errors import ConfigError, explain

__all__ = ["first_location", "first_version", "second_version"]


def second_version(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a plan of version 1 under the names of version 2. Raises `ConfigError` where some are so named."""
    sample = fields.get("sample")
    later = {"min_held", "tiles"} & set(fields) | {"kind", "normalisation"} & set(
        sample if isinstance(sample, Mapping) else ()
    )
    if later:
        fix = "make the plan anew with collabdm plan"
        raise ConfigError(explain("version 1", got=", ".join(sorted(later)), expected="its own names", fix=fix))
    renamed = {name: value for name, value in fields.items() if name not in ("pae", "normalisation")}
    if isinstance(sample, Mapping):
        renamed["sample"] = {"kind": "images", **sample, "normalisation": fields.get("normalisation")}
    return renamed | ({"tiles": fields["pae"]} if "pae" in fields else {})


def first_location(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where a field of version 2 stands in a plan of version 1."""
    if place[:1] == ("tiles",):
        return "pae", *place[1:]
    return place[1:] if place[:2] == ("sample", "normalisation") else place


def first_version(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The other way round."""
    sample = {name: value for name, value in fields["sample"].items() if name not in ("kind", "normalisation")}
    renamed = {name: value for name, value in fields.items() if name != "tiles"}
    return renamed | {"sample": sample, "normalisation": fields["sample"]["normalisation"], "pae": fields["tiles"]}
