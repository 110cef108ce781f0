"""Tables of results in Markdown."""

from collections.abc import Sequence

from collabdm.errors import printable

__all__ = ["markdown"]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a cell's own bars, line ends and control characters cannot break it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def _escaped(text: str) -> str:
    return printable(" ".join(text.split())).replace("|", "\\|")
