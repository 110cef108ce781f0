"""Records of cells as Markdown."""

import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from collabdm.evaluation.markdown import markdown
from collabdm.training.recipes import recipe_text

__all__ = [
    "LARGEST",
    "accuracy_and_spread",
    "accuracy_beside_paper",
    "accuracy_by_network",
    "largest_megabytes",
    "markdown",
    "matrix",
    "megabytes_up",
    "percent_and_spread",
    "recipes_line",
    "results_table",
]

MOST_MEGABYTES = 9.0
LARGEST = "largest contribution, MB"


def results_table(records: Sequence[Mapping[str, Any]]) -> str:
    """One line a cell: ours, the paper's figure and the difference, bytes up, and what to know."""
    header = ("cell", "accuracy, %", "networks", "paper, %", "difference", "MB up per client", "note")
    return markdown(header, [_line(record) for record in sorted(records, key=lambda one: (one["rank"], one["cell"]))])


def matrix(
    records: Iterable[Mapping[str, Any]],
    *,
    corner: str,
    row: Callable[[Mapping[str, Any]], Hashable],
    column: Callable[[Mapping[str, Any]], Hashable],
    shown: Callable[[Mapping[str, Any]], str],
) -> str:
    """Records by two factors, in the order in which their values come; what is missing is empty."""
    found = {(row(one), column(one)): shown(one) for one in records}
    rows, columns = list(dict.fromkeys(r for r, _ in found)), list(dict.fromkeys(c for _, c in found))
    lines = [[str(r), *(found.get((r, c), "") for c in columns)] for r in rows]
    return markdown([corner, *map(str, columns)], lines)


def accuracy_by_network(
    records: Sequence[Mapping[str, Any]], *, corner: str, row: Callable[[Mapping[str, Any]], str]
) -> str:
    """A line a cell, a column for each architecture tested: accuracy and (macro-F1), in percent; and bytes."""
    columns = list(dict.fromkeys(one["network"] for record in records for one in _tested(record)))
    lines = []
    for record in sorted(records, key=lambda one: one["rank"]):
        by_network = {name: [one for one in _tested(record) if one["network"] == name] for name in columns}
        lines.append(
            [
                row(record),
                *(_accuracy_and_f1(found) for found in by_network.values()),
                "" if "failed" in record else largest_megabytes(record),
                record.get("failed", ""),
            ]
        )
    return markdown([corner, *columns, LARGEST, "note"], lines)


def accuracy_and_spread(record: Mapping[str, Any]) -> str:
    """`65.4 ± 1.0`: the mean and standard deviation over networks, in percent; a single network has no deviation."""
    accuracy = record["accuracy"]
    mean = f"{100 * accuracy['mean']:.1f}"
    return mean if len(accuracy["networks"]) < 2 else f"{mean} ± {100 * accuracy['std']:.1f}"


def percent_and_spread(values: Sequence[float]) -> str:
    """The same of plain shares in [0, 1], of networks or of repeats."""
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def accuracy_beside_paper(record: Mapping[str, Any]) -> str:
    """`63.1 (63.91)`: ours and the paper's, in percent."""
    if "failed" in record:
        return "failed"
    paper = record["paper"]
    return f"{100 * record['accuracy']['mean']:.1f}" + ("" if paper is None else f" ({paper:.2f})")


def megabytes_up(record: Mapping[str, Any]) -> float:
    """The largest client's bytes up, in 10^6."""
    return max(record["bytes"]["up"].values(), default=0) / 1e6


def largest_megabytes(record: Mapping[str, Any]) -> str:
    """`megabytes_up` as text; a contribution of more than 9 MB makes a cell none of the paper's."""
    sent = megabytes_up(record)
    return f"{sent:.1f}{' (over 9)' if sent > MOST_MEGABYTES else ''}"


def recipes_line(records: Sequence[Mapping[str, Any]]) -> str:
    """Which recipe judged the sets; which cells' by which, where there are several. Empty where nothing was judged."""
    cells: dict[str, list[str]] = {}
    for record in records:
        if told := recipe_text(record.get("protocol", {})):
            cells.setdefault(told, []).append(record["cell"])
    if len(cells) < 2:
        return "".join(f"Sets are judged by the protocol {told}." for told in cells)
    parts = "; ".join(f"{told}: {', '.join(names)}" for told, names in cells.items())
    return f"Judged by different protocols, so compare within one only. {parts}."


def _tested(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return () if "failed" in record else record["accuracy"]["networks"]


def _accuracy_and_f1(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return ""
    accuracy, f1 = (statistics.fmean(one[name] for one in found) for name in ("accuracy", "macro_f1"))
    return f"{100 * accuracy:.1f} ({100 * f1:.1f})"


def _line(record: Mapping[str, Any]) -> list[str]:
    if "failed" in record:
        return [record["cell"], "failed", "", _percent(record["paper"]), "", "", record["failed"]]
    accuracy, paper = record["accuracy"], record["paper"]
    return [
        record["cell"],
        accuracy_and_spread(record),
        str(len(accuracy["networks"])),
        _percent(paper),
        "" if paper is None else f"{100 * accuracy['mean'] - paper:+.1f}",
        f"{megabytes_up(record):.2f}",
        record["note"],
    ]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
