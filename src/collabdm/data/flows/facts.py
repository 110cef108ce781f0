"""What a data set says about how its images were made of flows."""

from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, JsonValue

from collabdm.data.flows.images import ImageSettings
from collabdm.data.presets import Preset, generic_preset
from collabdm.errors import DataError, explain
from collabdm.storage.reading import MOST_JSON, regular_bytes, strict_json

__all__ = ["FLOWS_FILE", "flow_facts", "flow_preset"]

FLOWS_FILE = "flows.json"


class _Saved(BaseModel, extra="ignore"):
    settings: ImageSettings
    source: dict[str, JsonValue]


def flow_facts(place: Path) -> dict[str, JsonValue]:
    """How the images of a data set were made, for what is made from them: empty where they are not of flows.

    `place`: the data set's folder, or such a file itself. Raises `DataError` for a `flows.json` that is none of ours.
    """
    path = place if place.is_file() else place / FLOWS_FILE
    if not path.is_file():
        return {}
    saved = _read(path)
    synthetic: dict[str, JsonValue] = {"synthetic_flows": True} if saved.source.get("synthetic") else {}
    return {"flows": saved.settings.model_dump(mode="json"), **synthetic}


def flow_preset(place: Path) -> Preset | None:
    """What is known beforehand of a data set that `to-images` made, from its `flows.json` alone, in which no flow is.

    `place`: the data set's folder, or that file; None for anything else. Images of flows are not augmented: a pixel's
    place is its column. Raises as `flow_facts` does.
    """
    path = place / FLOWS_FILE if place.is_dir() else place
    if path.name != FLOWS_FILE or not path.is_file():
        return None
    settings = _read(path).settings
    shape, classes = (1, settings.side, settings.side), settings.flow_schema.class_names
    return replace(generic_preset(path.resolve().parent.name, shape, classes), augment=())


def _read(path: Path) -> _Saved:
    try:
        return _Saved.model_validate(strict_json(regular_bytes(path, MOST_JSON)))
    except (OSError, ValueError) as error:
        got = (isinstance(error, OSError) and error.strerror) or str(error)[:120]
        expected, fix = "what `collabdm flows to-images` writes", "make the data set again, or remove the file"
        raise DataError(explain(str(path), got=got, expected=expected, fix=fix)) from None
