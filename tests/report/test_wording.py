"""Numbers as text: known values, and that rounding never lies about the unit."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collabdm.report.wording import (
    bytes_text,
    count_text,
    duration,
    points,
    share,
    share_tick,
    short_number,
    spread_text,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (share(0.7129), "71.3 %"),
        (share(1, 0), "100 %"),
        (share_tick(0.7), "70 %"),
        (share_tick(0.525), "52.5 %"),
        (spread_text(0.7129, 0.008, 3), "71.3 ± 0.8 %"),
        (spread_text(0.7129, 0.0, 1), "71.3 %"),
        (points(1.25), "+1.2"),
        (points(-3.21), "\u22123.2"),
        (points(-0.04), "0.0"),
        (bytes_text(512), "512 B"),
        (bytes_text(3400), "3.4 kB"),
        (bytes_text(4_000_000), "4 MB"),
        (bytes_text(2_812_265.6), "2.81 MB"),
        (bytes_text(999_600), "1 MB"),
        (duration(0.42), "0.4 s"),
        (duration(59.6), "1 min"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 5 min"),
        (count_text(60000), "60\u202f000"),
        (short_number(0.25), "0.25"),
        (short_number(-1500), "\u22121\u202f500"),
        (short_number(2e9), "2e+09"),
    ],
)
def test_known_values(text: str, expected: str) -> None:
    assert text.replace("\u00a0", " ") == expected


@given(st.floats(0, 1e13))
def test_bytes_are_told_within_their_rounding(count: float) -> None:
    number, unit = bytes_text(count).split("\u00a0")
    size = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert abs(float(number) * size - count) <= max(0.00501 * count, 0.5)
    assert float(number) < 1000 or unit == "GB" or count < 1000


@given(st.floats(0, 1e6))
def test_durations_are_told_within_their_rounding(seconds: float) -> None:
    parts = re.findall(r"([\d.]+)\u00a0(h|min|s)", duration(seconds))
    told = sum(float(number) * {"h": 3600, "min": 60, "s": 1}[unit] for number, unit in parts)
    assert abs(told - seconds) <= (30 if seconds >= 3599.5 else 0.5)
    assert all(float(number) < 60 for number, unit in parts if unit != "h")
