"""What the page of an experiment says first: of each data set the best, and how the paper's figures compare."""

from collections.abc import Sequence

from collabdm.report.brief import of_hundred, rounds_text
from collabdm.report.ceiling import is_full
from collabdm.report.cells import CellRow
from collabdm.report.groups import Group, heads
from collabdm.report.wording import bytes_text, share

__all__ = ["of_cells", "of_paper"]


def of_cells(group: Group) -> str:
    """A sentence about one data set: the best of those that work between sites, and the best set where that is a model.

    The group must have rows.
    """
    rows = [row for row, _ in group.rows]
    sharing = [row for row in rows if row.up] or [row for row in rows if not is_full(row.method)] or rows
    sets = [row for row in sharing if row.cell.product == "set"]
    best = max(sharing, key=_mean)
    told = f"{group.name or 'Results'}: {_told(best, group, sharing)}"
    if best.cell.product == "model" and sets:
        told += f". Of the sets, {_told(max(sets, key=_mean), group, sets)}"
    return f"{told}."


def _told(row: CellRow, group: Group, rivals: Sequence[CellRow]) -> str:
    size = row.settings.get("ipc")
    sets = f" with {size} of each class" if size and row.cell.product == "set" and not is_full(row.method) else ""
    best = " is best" if len(rivals) > 1 else ""
    told = (
        f"{row.name}{best}{sets}{_setting(row, group, rivals)}, right on {of_hundred(_mean(row))} test {group.plural}"
    )
    # Only what the same networks reach can be held beside it.
    full = next((one for one, _ in group.rows if is_full(one.method) and one.cell.networks == row.cell.networks), None)
    if full is not None and row is not full and _mean(full):
        told += f", {share(_mean(row) / _mean(full), 0)} of what training on all data reaches"
    return told + (f"; each site sent {bytes_text(row.up)}{rounds_text(row.cell.rounds)}" if row.up else "")


def _setting(row: CellRow, group: Group, rivals: Sequence[CellRow]) -> str:
    """What tells the cell from its rivals where they are all of one method."""
    if len(rivals) < 2 or len({one.name for one in rivals}) > 1:
        return ""
    texts = next(texts for one, texts in group.rows if one is row)
    pairs = [f"{head} {text}" for head, text in zip(group.heads, texts, strict=True) if head != heads(["ipc"])[0]]
    return f" at {', '.join(pairs)}" if pairs else ""


def of_paper(rows: Sequence[CellRow]) -> str:
    """How many cells reach the paper's figure; which do not, and by how much, is said row by row."""
    pairs = [(row.difference, row.cell.accuracy) for row in rows if row.difference is not None]
    if not pairs:
        return ""
    near = sum(1 for difference, ours in pairs if ours and difference >= -max(100 * ours.std, 0.5))
    return (
        f"Results with a figure in the paper: {near} of {len(pairs)} reach it, or lie below it by no more than half a"
        " point or one standard deviation of ours."
    )


def _mean(row: CellRow) -> float:
    assert row.cell.accuracy is not None
    return row.cell.accuracy.mean
