"""What `collabdm info` says of a table's schema."""

from pathlib import Path
from typing import Any

from collabdm.storage.reading import regular_bytes, strict_json

__all__ = ["is_schema", "schema_facts"]

_MOST = 4 * 2**20


def is_schema(path: Path) -> bool:
    """Whether the JSON file at `path` declares columns and is no plan, which says its format."""
    try:
        fields = strict_json(regular_bytes(path, _MOST))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and "columns" in fields and "format" not in fields


def schema_facts(path: Path) -> dict[str, Any]:
    """How many columns of each kind, their names, the label and the classes. Raises `CollabDMError`."""
    from collabdm.data.tabular.schema import read_schema

    schema = read_schema(str(path))
    kinds = [column.kind for column in schema.columns]
    return {
        "kind": "schema of a table",
        "label": schema.label,
        "classes": list(schema.classes),
        "numeric": kinds.count("numeric"),
        "categorical": kinds.count("categorical"),
        "columns": [column.name for column in schema.columns],
        "bytes": path.stat().st_size,
    }
