"""The modalities by name. A new one is one file and one line here."""

from collections import ChainMap
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from collabdm.images.modality import Images
from collabdm.modality import Modality
from collabdm.registry import Table, named_in
from collabdm.series.modality import Series
from collabdm.tables.modality import Tables

__all__ = ["AUTO", "MODALITIES", "AnyModality", "ModalityName", "modality_in"]

MODALITIES: dict[str, type[Modality]] = Table({"images": Images, "tables": Tables, "series": Series})

AUTO = "auto"
ModalityName = Annotated[str, named_in(ChainMap[str, Any]({AUTO: None}, MODALITIES))]
"""The name of one, or `AUTO`, for which the source of the data decides."""


def modality_in(fields: Any) -> Any:
    """The description in a plan's or a set's JSON: an object whose `kind` says which modality checks the rest.

    What is no such object is given back as it is, for pydantic to refuse; raises `ValueError` for an unknown kind.
    """
    if not isinstance(fields, Mapping):
        return fields
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in MODALITIES:
        got = repr(kind[:40]) if isinstance(kind, str) else "no text"
        known = ", ".join(MODALITIES)
        raise ValueError(f"kind must be one of {known}, got {got} (for another, this site needs that modality's code)")
    return MODALITIES[kind].model_validate(dict(fields))


AnyModality = Annotated[SerializeAsAny[Modality], BeforeValidator(modality_in)]
"""A field that holds any registered modality."""
