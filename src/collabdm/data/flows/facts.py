"""What a data set says about how its images were made of flows."""

from pathlib import Path

from pydantic import BaseModel, JsonValue

from collabdm.data.flows.images import ImageSettings
from collabdm.errors import DataError, explain
from collabdm.storage.reading import MOST_JSON, regular_bytes, strict_json

__all__ = ["FLOWS_FILE", "flow_facts"]

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
    try:
        saved = _Saved.model_validate(strict_json(regular_bytes(path, MOST_JSON)))
    except (OSError, ValueError) as error:
        got = str(error)[:120] if not isinstance(error, OSError) else error.strerror
        expected, fix = "what `collabdm flows to-images` writes", "make the data set again, or remove the file"
        raise DataError(explain(str(path), got=got, expected=expected, fix=fix)) from None
    synthetic: dict[str, JsonValue] = {"synthetic_flows": True} if saved.source.get("synthetic") else {}
    return {"flows": saved.settings.model_dump(mode="json"), **synthetic}
