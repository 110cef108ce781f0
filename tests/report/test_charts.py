"""Charts: where points and ticks lie, against the definition of the scale."""

import itertools
import math
import re

from hypothesis import assume, given
from hypothesis import strategies as st

from collabdm.report.charts import Axis, Chart, Series, line_chart

NUMBERS = st.floats(-1e6, 1e6)


def drawn(series: list[Series]) -> Chart:
    return line_chart(series, summary="s", x_label="x", y_label="y")


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


@given(NUMBERS, NUMBERS, st.integers(2, 8))
def test_straight_ticks_are_round_few_and_in_range(low: float, high: float, most: int) -> None:
    assume(high - low > 1e-3 * max(abs(low), abs(high), 1e-9))
    ticks = Axis(low=low, high=high, text=repr).ticks(most)
    assert 1 <= len(ticks) <= most + 1
    values = [float(tick.text) for tick in ticks]
    assert all(-0.01 <= tick.at <= 100.01 for tick in ticks)
    steps = [b - a for a, b in itertools.pairwise(values)]
    for step in steps:
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert min(abs(mantissa - known) for known in (1, 2, 2.5, 5, 10)) < 1e-3
    assert not steps or max(steps) - min(steps) < 1e-6 * (high - low)


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e9))
def test_logarithmic_ticks_are_in_range(low: float, factor: float) -> None:
    ticks = Axis(low=low, high=low * factor, log=True, text=repr).ticks(6)
    assert 2 <= len(ticks) <= 6
    for tick in ticks:
        assert abs(tick.at - 100 * math.log(float(tick.text) / low) / math.log(factor)) < 0.006


def test_a_line_lies_where_its_values_do() -> None:
    chart = drawn([Series(name="a", points=[(0, 0), (5, 1), (10, 4)])])
    # No room at the sides; six percent above; nothing below zero.
    assert places(chart.series[0].path) == [
        (0, 100),
        (50, round(100 - 100 / 4.24, 2)),
        (100, round(100 - 400 / 4.24, 2)),
    ]
    assert [tick.text for tick in chart.y_ticks] == ["0", "1", "2", "3", "4"]


def test_dots_keep_off_the_sides_and_spreads_fit() -> None:
    chart = drawn([Series(name="a", points=[(1, 0.5), (2, 0.7)], spread=[0.1, 0.0], look="dots")])
    (left, _), (right, _) = places(chart.series[0].path)
    assert 0 < left < 5
    assert 95 < right < 100
    bars = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", chart.series[0].bars)
    assert len(bars) == 1
    assert float(bars[0][0]) == left
    assert 0 <= float(bars[0][2]) < float(bars[0][1]) <= 100


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_labels_do_not_lie_on_one_another(points: list[tuple[float, float]]) -> None:
    chart = drawn([Series(name="", points=points, look="dots", labels=[str(i) for i in range(len(points))])])
    assert sorted(label.text for label in chart.labels) == [str(i) for i in range(len(points))]
    for one in chart.labels:
        for other in chart.labels:
            assert one is other or abs(one.left - other.left) >= 34.9 or abs(one.top - other.top) >= 7.9


def test_one_point_equal_points_and_many() -> None:
    for points in ([(3.0, 3.0)], [(1.0, 2.0), (1.0, 2.0)], [(0.0, 0.0)]):
        assert all(
            0 <= x <= 100 and 0 <= y <= 100 for x, y in places(drawn([Series(name="", points=points)]).series[0].path)
        )
    long = places(drawn([Series(name="", points=[(i, i) for i in range(10_000)])]).series[0].path)
    assert len(long) <= 1501
    assert long[-1][0] == 100
