"""A distilled set as an interpreter and a notebook show it."""

from base64 import b64encode
from html import escape

from collabdm.errors import printable
from collabdm.modality import Labelled, Modality

__all__ = ["as_html", "in_a_line"]


def in_a_line(sample: Modality, shown: Labelled, tiles: int, method: str) -> str:
    """How many samples of what, and how they were made."""
    cut = f", {tiles} x {tiles} tiles" if tiles > 1 else ""
    made = f"{len(shown.labels)} {sample.plural} ({sample.described}{cut}) of {len(shown.classes)} classes"
    return printable(f"DistilledSet({made}, by {method})")


def as_html(line: str, sample: Modality, shown: Labelled) -> str:
    """The line, and the preview of the training samples where there is one."""
    preview = sample.preview(shown)
    text = f"<div>{escape(line)}</div>"
    if preview is None:
        return text
    picture = f"data:image/png;base64,{b64encode(preview).decode()}"
    return f'{text}<img alt="samples of every class" style="max-width:100%" src="{picture}">'
