"""What a data set says about how its images or rows were made of flows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from collabdm.data.flows.images import ImageSettings
from collabdm.data.flows.rows import RowSettings
from collabdm.data.presets import Preset, generic_preset
from collabdm.data.tabular.column import Column
from collabdm.data.tabular.preset import table_preset
from collabdm.errors import DataError, explain
from collabdm.storage.reading import MOST_JSON, regular_bytes, strict_json

__all__ = [
    "FLOWS_FILE",
    "FlowSettings",
    "flow_facts",
    "flow_preset",
    "flow_settings_in",
    "row_facts",
    "row_settings_in",
]

FLOWS_FILE = "flows.json"

FlowSettings = ImageSettings | RowSettings
"""How samples were made of flows: windows as images, or flows as rows."""


class _Saved(BaseModel, extra="ignore"):
    settings: dict[str, JsonValue]
    source: dict[str, JsonValue]


def flow_settings_in(fields: Mapping[str, Any]) -> FlowSettings:
    """The settings that a dump of theirs holds. Raises pydantic's `ValidationError`."""
    model = RowSettings if fields.get("kind") == "rows" else ImageSettings
    return model.model_validate(dict(fields))


def flow_facts(place: Path) -> dict[str, JsonValue]:
    """How the samples of a data set were made, for what is made from them: empty where they are not of flows.

    `place`: the data set's folder, or such a file itself. Raises `DataError` for a `flows.json` that is none of ours.
    """
    path = place if place.is_file() else place / FLOWS_FILE
    if not path.is_file():
        return {}
    settings, source = _read(path)
    synthetic: dict[str, JsonValue] = {"synthetic_flows": True} if source.get("synthetic") else {}
    return {"flows": settings.model_dump(mode="json"), **synthetic}


def row_facts(folder: Path, label: str | None, columns: Sequence[Column]) -> dict[str, JsonValue]:
    """`flow_facts` of a folder of tables, where its rows are read by the columns and the label that they were made
    with; else empty."""
    settings = row_settings_in(folder / FLOWS_FILE)
    if settings is None or (label, tuple(columns)) != (settings.table.label, settings.table.columns):
        return {}
    return flow_facts(folder)


def row_settings_in(path: Path) -> RowSettings | None:
    """The settings in a `flows.json` of rows; None for one of images, or where there is no such file."""
    settings = _read(path)[0] if path.is_file() else None
    return settings if isinstance(settings, RowSettings) else None


def flow_preset(place: Path) -> Preset | None:
    """What is known beforehand of a data set of flows, from its `flows.json` alone, in which no flow is.

    `place`: the data set's folder, or that file; None for anything else. Images of flows are not augmented: a pixel's
    place is its column. Raises as `flow_facts` does.
    """
    path = place / FLOWS_FILE if place.is_dir() else place
    if path.name != FLOWS_FILE or not path.is_file():
        return None
    settings, name = _read(path)[0], path.resolve().parent.name
    if isinstance(settings, RowSettings):
        return table_preset(name, settings.table, settings.table.classes)
    shape, classes = (1, settings.side, settings.side), settings.flow_schema.class_names
    return replace(generic_preset(name, shape, classes), augment=())


def _read(path: Path) -> tuple[FlowSettings, Mapping[str, JsonValue]]:
    try:
        saved = _Saved.model_validate(strict_json(regular_bytes(path, MOST_JSON)))
        return flow_settings_in(saved.settings), saved.source
    except (OSError, ValueError) as error:
        got = (isinstance(error, OSError) and error.strerror) or str(error)[:120]
        expected, fix = "what `collabdm flows to-images` or `to-table` writes", "make the data set again, or remove it"
        raise DataError(explain(str(path), got=got, expected=expected, fix=fix)) from None
