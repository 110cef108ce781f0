"""What is known beforehand of a table whose columns are declared."""

from collabdm.data.presets import Preset
from collabdm.data.tabular.schema import TableSchema

__all__ = ["table_preset"]


def table_preset(name: str, schema: TableSchema, classes: tuple[str, ...]) -> Preset:
    """The declared facts of a table, of which a plan is made."""
    declared = {
        "label": schema.label,
        "columns": [column.model_dump(exclude_defaults=True) for column in schema.columns],
    }
    return Preset(name=name, shape=(len(schema.columns),), classes=classes, declared=declared, augment=())
