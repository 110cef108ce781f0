"""Charts over an experiment's cells: ours against the paper's figures, and accuracy against bytes."""

from collections.abc import Sequence

from collabdm.report.cells import CellRow, grouped
from collabdm.report.charts import Chart, Series, line_chart
from collabdm.report.wording import bytes_text, share, share_tick

__all__ = ["agreement", "curves"]

_COLOURS = 6


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


def curves(rows: Sequence[CellRow]) -> list[tuple[str, Chart]]:
    """For each data set whose cells were judged on the way: accuracy against bytes, with the paper's figures."""
    return [(data, chart) for data, group in grouped(rows) if (chart := _curve_chart(group)) is not None]


def _curve_chart(rows: Sequence[CellRow]) -> Chart | None:
    series: list[Series] = []
    anchors: list[tuple[float, float]] = []
    told: list[str] = []
    for row in rows:
        points = _points(row)
        if len(points) < 2:
            continue
        name = " ".join([row.name, *(text for text in row.varying if text)])
        series.append(Series(name=name, points=points, colour=len(series) % _COLOURS))
        told.append(f"{name} reaches {share(points[-1][1])} at {bytes_text(points[-1][0])}")
        if row.cell.paper is not None:
            anchors.append((points[-1][0], row.cell.paper / 100))
        anchors += [(1e6 * megabytes, percent / 100) for megabytes, percent in row.cell.anchors]
    if not series:
        return None
    ends = [f(x for one in series for x, _ in one.points) for f in (min, max)]
    for row in rows:
        if row.cell.accuracy is None or row.up or not row.method.startswith("central"):
            continue
        name = " ".join([row.name, *(text for text in row.varying if text)])
        level = [(end, row.cell.accuracy.mean) for end in ends]
        series.append(Series(name=f"{name} (no bytes)", points=level, look="dashed", colour=len(series) % _COLOURS))
    if anchors:
        series.append(Series(name="the paper", points=anchors, look="hollow", colour=5))
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
