"""What may be said of data by name when they are loaded."""

from collections.abc import Sequence
from typing import TypedDict

__all__ = ["TableOptions"]


class TableOptions(TypedDict, total=False):
    """The options of tables by name, as `collabdm.data.tabular.reader.read_tables` has them; and of any data `site`,
    the column that names each sample's site."""

    label: str
    ignore: Sequence[str]
    site: str
    schema: str
    test_fraction: float
    group: str
