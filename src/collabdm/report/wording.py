"""Numbers as a reader wants them: rounded, with units, and with a minus sign that is one."""

import math

__all__ = ["bytes_text", "count_text", "duration", "points", "share", "share_tick", "short_number", "spread_text"]

_NARROW = "\u00a0"
_MINUS = "\u2212"


def share(value: float, digits: int = 1) -> str:
    """A number in [0, 1] in percent: `71.3 %`."""
    return f"{100 * value:.{digits}f}{_NARROW}%"


def share_tick(value: float) -> str:
    """A number in [0, 1] in percent with no more digits than it has: `70 %`, `52.5 %`."""
    return f"{round(100 * value, 2):g}{_NARROW}%"


def spread_text(mean: float, deviation: float, count: int) -> str:
    """`71.3 ± 0.8 %`; a single value has no deviation."""
    if count < 2:
        return share(mean)
    return f"{100 * mean:.1f}{_NARROW}±{_NARROW}{100 * deviation:.1f}{_NARROW}%"


def points(difference: float) -> str:
    """A difference of percentages with its sign: `+1.2`; a real minus sign before what is below zero."""
    rounded = round(difference, 1)
    if rounded == 0:
        return "0.0"
    return f"{'+' if rounded > 0 else _MINUS}{abs(rounded):.1f}"


def bytes_text(count: float) -> str:
    """`512 B`, `3.4 kB`, `2.81 MB`: three digits, decimal units."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= 0.9995 * size:
            return (
                f"{count / size:.3g}{_NARROW}{unit}" if count < 999.5 * size else f"{count / size:.0f}{_NARROW}{unit}"
            )
    return f"{count:.0f}{_NARROW}B"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f}{_NARROW}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{_NARROW}s"
    if whole < 3600:
        return f"{whole // 60}{_NARROW}min" + (f" {whole % 60}{_NARROW}s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60}{_NARROW}h" + (f" {minutes % 60}{_NARROW}min" if minutes % 60 else "")


def count_text(count: float) -> str:
    """A whole number in groups of three: `60 000`, by narrow spaces that do not break."""
    return f"{round(count):,}".replace(",", "\u202f")


def short_number(value: float) -> str:
    """Up to four digits, for the ends of axes: `0.25`, `1 500`, `2e+07`."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.0e}".replace("-", _MINUS)
    if value == round(value) and math.isfinite(value):
        return count_text(value).replace("-", _MINUS)
    return f"{value:.4g}".replace("-", _MINUS)
