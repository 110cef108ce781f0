"""Templates to one HTML file: everything inlined, everything from outside escaped, nothing fetched."""

import base64
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from collabdm.report import wording

__all__ = ["render", "stylesheet"]


def render(template: str, **values: Any) -> bytes:
    """The named template of this package as UTF-8; a value that it misses is an error."""
    return _environment().get_template(template).render(css=stylesheet(), **values).encode()


def stylesheet() -> str:
    """The CSS that every report carries."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, "style.css")[0]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("collabdm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "share": wording.share,
        "spread": wording.spread_text,
        "points": wording.points,
        "bytes": wording.bytes_text,
        "duration": wording.duration,
        "count": wording.count_text,
        "base64": lambda text: base64.b64encode(text.encode()).decode(),
    }
    return made
