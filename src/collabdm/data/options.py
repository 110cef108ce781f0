"""What may be said of data by name when they are loaded."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, TypedDict

from collabdm.errors import ConfigError, explain

__all__ = ["TableOptions", "check_options"]


class TableOptions(TypedDict, total=False):
    """The options of tables by name, as `collabdm.data.tabular.reader.read_tables` has them; and of any data `site`,
    the column that names each sample's site."""

    label: str
    ignore: Sequence[str]
    site: str
    schema: str
    test_fraction: float
    group: str


def check_options(given: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for a share that is no number, and for one text where a list of columns is meant, whose
    letters would pass for names."""
    share, ignore = given.get("test_fraction"), given.get("ignore", ())
    if share is not None and (isinstance(share, bool) or not isinstance(share, Real)):
        fix = "give a number, such as 0.2 for a fifth"
        raise ConfigError(explain("test_fraction", got=repr(share)[:80], expected="between 0 and 1", fix=fix))
    if isinstance(ignore, str) or not isinstance(ignore, Iterable):
        fix = f"ignore=[{ignore!r}]" if isinstance(ignore, str) else "give a list of names"
        raise ConfigError(explain("ignore", got=repr(ignore)[:80], expected="a list of columns", fix=fix[:200]))
