"""Charts over an experiment's cells: ours against the paper's figures, and accuracy against bytes."""

from collections.abc import Sequence

from collabdm.report.cells import CellRow, grouped
from collabdm.report.charts import Chart, Series, line_chart
from collabdm.report.wording import bytes_text, share, share_tick

__all__ = ["agreement", "curves"]


def agreement(rows: Sequence[CellRow]) -> Chart | None:
    """Ours against the paper's; on the line they are the same."""
    pairs = [
        (row.cell.paper / 100, row.cell.accuracy) for row in rows if row.cell.paper is not None and row.cell.accuracy
    ]
    if len(pairs) < 3:
        return None
    ends = [f(value for paper, ours in pairs for value in (paper, ours.mean)) for f in (min, max)]
    return line_chart(
        [
            Series(name="the same", points=[(end, end) for end in ends], look="dashed", colour=5),
            Series(
                name="a cell",
                points=[(paper, ours.mean) for paper, ours in pairs],
                spread=[ours.std for _, ours in pairs],
                look="dots",
            ),
        ],
        summary=f"{sum(ours.mean >= paper for paper, ours in pairs)} of {len(pairs)} cells reach the paper's accuracy.",
        x_label="the paper's accuracy",
        y_label="ours",
        x_text=share_tick,
        y_text=share_tick,
    )


def curves(rows: Sequence[CellRow], keys: Sequence[str]) -> list[tuple[str, list[tuple[str, Chart]]]]:
    """By data set, accuracy against bytes of the cells judged on the way, with the paper's figures: a titled chart for
    each setting of `keys` (those of `CellRow.varying`), a line a method.

    All in one would be lines by the dozen, of which none could be told from its neighbour.
    """
    found = []
    for data, group in grouped(rows):
        judged = [row for row in group if len(_points(row)) > 1]
        settings = dict.fromkeys((row.varying, "" if keys or row.name == row.method else row.name) for row in judged)
        panels = []
        for varying, name in settings:
            inside = [row for row in judged if row.varying == varying and name in ("", row.name)]
            level = [row for row in group if _is_level(row) and _alike(row, varying, keys)]
            for start in range(0, len(inside), _MOST_LINES):
                chart = _curve_chart(inside[start : start + _MOST_LINES], level[:1])
                panels.append((_title(varying, keys) or name, chart))
        if panels:
            found.append((data, panels))
    return found


# The last colour is the paper's; one more is for the line without clients.
_MOST_LINES, _PAPER = 4, 5


def _title(varying: Sequence[str], keys: Sequence[str]) -> str:
    """`ipc 10, 5 clients`."""
    told = {"partition.clients": "{} clients", "partition.kind": "{}"}
    named = zip(keys, varying, strict=True)
    return ", ".join(told.get(key, f"{key.rpartition('.')[2]} {{}}").format(value) for key, value in named if value)


def _is_level(row: CellRow) -> bool:
    """Whether it is a line across: made of all data in one place, for no bytes."""
    return not row.up and row.method.startswith("central")


def _alike(row: CellRow, varying: Sequence[str], keys: Sequence[str]) -> bool:
    """Whether a cell without clients is that of the others' settings: how they share data is not its own."""
    pairs = zip(keys, row.varying, varying, strict=True)
    return all(mine == theirs for key, mine, theirs in pairs if not key.startswith("partition."))


def _curve_chart(rows: Sequence[CellRow], levels: Sequence[CellRow]) -> Chart:
    """At least one row."""
    series: list[Series] = []
    anchors: list[tuple[float, float]] = []
    told: list[str] = []
    for row in rows:
        points = _points(row)
        series.append(Series(name=row.name, points=points, colour=len(series)))
        told.append(f"{row.name} reaches {share(points[-1][1])} at {bytes_text(points[-1][0])}")
        if row.cell.paper is not None:
            anchors.append((points[-1][0], row.cell.paper / 100))
        anchors += [(1e6 * megabytes, percent / 100) for megabytes, percent in row.cell.anchors]
    ends = [f(x for one in series for x, _ in one.points) for f in (min, max)]
    for row in levels:
        assert row.cell.accuracy is not None
        level = [(end, row.cell.accuracy.mean) for end in ends]
        series.append(Series(name=f"{row.name} (no bytes)", points=level, look="dashed", colour=len(series)))
        told.append(f"{row.name} reaches {share(row.cell.accuracy.mean)} without clients")
    if anchors:
        series.append(Series(name="the paper", points=anchors, look="hollow", colour=_PAPER))
    return line_chart(
        series,
        summary="Accuracy against bytes up. " + "; ".join(told) + ".",
        x_label="bytes up, each client",
        y_label="accuracy",
        x_text=bytes_text,
        y_text=share_tick,
    )


def _points(row: CellRow) -> list[tuple[float, float]]:
    points = [(point.bytes_up, point.mean) for point in row.cell.curve if point.bytes_up is not None]
    if points and row.up is not None and row.cell.accuracy is not None and row.up >= points[-1][0]:
        points.append((row.up, row.cell.accuracy.mean))
    return points
