"""A warning in a set's card, where its exported files were measured to train worse than the set itself."""

import re
from pathlib import Path

from collabdm.storage.files import write_atomically
from collabdm.storage.reading import read_text

__all__ = ["MOST_LOST", "warn_in_card"]

MOST_LOST = 0.01
"""Accuracy in [0, 1] that the 8-bit files may lose before the card warns: one point."""

_MOST_BYTES = 2**24
_BEFORE = "## Classes\n"
_WARNING = re.compile(r"^> \*\*The exported files train worse.*\n\n", re.MULTILINE)


def warn_in_card(folder: Path, accuracy: float, exported: float) -> bool:
    """Say in the card of the set in `folder` that networks reach `exported` instead of `accuracy`, both in [0, 1], with
    the exported files, where that is more than `MOST_LOST` less; else take such a warning back.

    Returns whether the card warns now; a folder without a card is left alone. Raises `OSError` where the card cannot be
    written.
    """
    path, lost = folder / "README.md", accuracy - exported > MOST_LOST
    if not path.is_file():
        return False
    before = read_text(path, _MOST_BYTES)
    card = _WARNING.sub("", before)
    if lost and _BEFORE in card:
        warning = (
            f"> **The exported files train worse than the set:** {exported:.1%} instead of {accuracy:.1%}. Train on "
            "`distilled.safetensors`.\n\n"
        )
        card = card.replace(_BEFORE, warning + _BEFORE, 1)
    if card != before:
        write_atomically(path, card.encode())
    return lost and _BEFORE in card
