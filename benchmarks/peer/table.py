"""What a comparison found, and how it reads: rows of ours beside theirs, and those that could not be measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Row", "Side", "Unmeasured", "markdown", "records"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two: what ran, its seconds, what it computed in, and the share of test samples right, if any."""

    name: str
    seconds: float
    dtype: str
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """The same work on both sides. `told`: how alike they are, in a sentence."""

    work: str
    theirs: Side
    ours: Side
    told: str

    @property
    def ratio(self) -> float:
        """Seconds of theirs over seconds of ours."""
        return self.theirs.seconds / self.ours.seconds


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """Rows that could not be measured, and why."""

    work: str
    reason: str


def records(rows: Sequence[Row | Unmeasured]) -> list[dict[str, Any]]:
    """The rows as plain JSON."""
    return [asdict(row) | ({"ratio": row.ratio} if isinstance(row, Row) else {}) for row in rows]


def markdown(rows: Sequence[Row | Unmeasured], facts: Mapping[str, str]) -> str:
    """The table, a line about every row, and on what it was measured."""
    measured = [row for row in rows if isinstance(row, Row)]
    lines = [
        "| work | otherwise | s | accuracy | ours | s | accuracy | theirs / ours |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_line(row) for row in measured),
        "",
        *(f"- {row.work}: {row.told}" for row in measured),
        *(f"- {row.work}: not measured, {row.reason}" for row in rows if isinstance(row, Unmeasured)),
        "",
        *(f"{name}: {fact}  " for name, fact in facts.items()),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = [row.work, *_cells(row.theirs), *_cells(row.ours), f"{row.ratio:.1f}"]
    return f"| {' | '.join(cells)} |"


def _cells(side: Side) -> list[str]:
    accuracy = "" if side.accuracy is None else f"{100 * side.accuracy:.1f} %"
    return [f"{side.name}, {side.dtype}", f"{side.seconds:.2f}", accuracy]
