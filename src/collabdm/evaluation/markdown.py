"""Tables of results in Markdown."""

from collections.abc import Sequence

from collabdm.errors import printable

__all__ = ["markdown", "tables_in"]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a cell's own bars, line ends and control characters cannot break it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def tables_in(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """The (header, rows) of each table that `markdown` made, in a text with nothing else but empty lines."""
    blocks = [[_cells(line) for line in block.splitlines()] for block in text.strip().split("\n\n") if block]
    return [(header, rows) for header, _, *rows in blocks]


def _cells(line: str) -> list[str]:
    return [cell.replace("\\|", "|") for cell in line[2:-2].split(" | ")]


def _escaped(text: str) -> str:
    return printable(" ".join(text.split())).replace("|", "\\|")
