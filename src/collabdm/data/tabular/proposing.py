"""A schema proposed from one site's rows, for a person to look at and edit."""

import math
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from collabdm.data.class_names import look_of, unreadable, written_alike
from collabdm.data.tabular.column import MOST_COLUMNS, Column
from collabdm.data.tabular.marks import of_no_number
from collabdm.data.tabular.numerals import Numbers, how_written, numbers_in
from collabdm.data.tabular.raw import RawTable, as_texts
from collabdm.data.tabular.schema import TableSchema
from collabdm.errors import DataError, explain

__all__ = ["proposed_schema"]

# Of more levels the most frequent are proposed, where they cover most rows.
_MOST_LEVELS, _COVERED = 100, 0.8

# A level that a single row has may tell of a person.
_LEAST_ROWS, _FEW_LEVELS = 2, 20

_COUNTERS = re.compile(r"(unnamed: ?\d+|index|id|row|row_?id|row_?number|__index_level_\d+__)?", re.IGNORECASE)

# Of so many different texts among numbers a person may mean a mark of what is missing, or a bound (<5).
_FEW_WORDS = 3

_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?"
_DAY = r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4})"
_DATE = re.compile(rf"{_DAY}|({_DAY}[ T,]+)?{_CLOCK}( ?(Z|UTC|GMT|[+-]\d{{2}}:?\d{{2}}))?")

# A tail is heavy where all values need so many times the room that nine of ten need.
_HEAVY = 8.0


def proposed_schema(
    raw: RawTable, label: str, *, aside: Iterable[str] = ()
) -> tuple[TableSchema, dict[str, str], list[str]]:
    """(schema, columns that are left out with why, remarks on columns) for the rows of `raw`.

    `aside`: columns besides the label that are no features. Ranges are widened and rounded outward, so that they say
    less of single rows and fit other sites too. Raises `DataError` where no column is left.
    """
    left_out = {name: f"holds {what}, no numbers or texts" for name, what in raw.passed.items()}
    columns, remarks = list[Column](), list[str]()
    for name in raw.columns:
        if name == label or name in aside:
            continue
        if wanted := unreadable(name) or (len(name) > 200 and "a name of at most 200 characters"):
            left_out[name[:40] or "(no name)"] = f"its name should be {wanted}"
            continue
        found = _column(raw, name, remarks)
        if isinstance(found, Column):
            columns.append(found)
        else:
            left_out[name] = found
    if not columns:
        got = "; ".join(f"{name} {why}" for name, why in left_out.items()) or f"the label {label} alone"
        fix = "give a table with columns of numbers or of a few texts"
        raise DataError(explain(f"columns of {raw.source}", got=got, expected="at least one to learn from", fix=fix))
    if len(columns) > MOST_COLUMNS:
        got, fix = len(columns), "drop columns, or make fewer of them"
        raise DataError(explain(f"columns of {raw.source}", got=got, expected=f"at most {MOST_COLUMNS}", fix=fix))
    return TableSchema(label=label, columns=tuple(columns)), left_out, remarks


def _column(raw: RawTable, name: str, remarks: list[str]) -> Column | str:
    """The column as it is proposed, or why it is left out."""
    values = raw.columns[name]
    if values.dtype != object:
        return _numeric(raw, name, values, remarks)
    numbers = numbers_in(values)
    if numbers.wrong.any():
        return _dates(values) or _categorical(raw, name, remarks, numbers)
    if len(numbers.units) > 1:
        forms = ", ".join(f"{count} {f'with {unit}' if unit else 'without'}" for unit, count in numbers.units.items())
        return f"holds numbers of several forms ({forms}); write all of them in one"
    if written := how_written(name, numbers):
        remarks.append(written)
    return _numeric(raw, name, numbers.values, remarks, numbers.unit)


def _dates(values: np.ndarray) -> str | None:
    """Why a column of dates or times of day is left out; None for any other. What comes later has none of its days."""
    present = [text for text in values.tolist() if text is not None and not of_no_number(text)]
    found = next((text for text in present if _DATE.fullmatch(text)), None)
    if found is None or sum(_DATE.fullmatch(text) is not None for text in present) < _COVERED * len(present):
        return None
    return f"holds dates or times, such as {found}; make numbers of what matters in them, such as the hour"


def _categorical(raw: RawTable, name: str, remarks: list[str], found: Numbers) -> Column | str:
    values = raw.columns[name]
    texts = as_texts(values)
    # A column of numbers in which a few cells are none would pass for one of texts without a word.
    others, numbers = list(dict.fromkeys(values[found.wrong].tolist())), np.count_nonzero(~np.isnan(found.values))
    if 0 < len(others) <= _FEW_WORDS and numbers and len(np.unique(found.values[~np.isnan(found.values)])) > 2:
        shown = ", ".join(others)
        remarks.append(f"{name} is read as texts, for besides numbers it holds {shown} ({int(found.wrong.sum())} rows)")
    present = [text for text in texts.tolist() if text is not None]
    counts = Counter(present)
    usual = {text: n for text, n in counts.items() if len(text) <= 200 and not unreadable(text)}
    if len(usual) > _FEW_LEVELS:
        usual = {text: n for text, n in usual.items() if n >= _LEAST_ROWS}
    kept = [text for text, _ in Counter(usual).most_common(_MOST_LEVELS)]
    # Two that look the same are one to whoever edits the schema.
    kept = list({look_of(text): text for text in reversed(kept)}.values())
    if len(counts) == 1:
        return "has one value only"
    if sum(counts[text] for text in kept) < _COVERED * len(present):
        if numbers > len(present) / 2:
            where = f"{others[0][:40]} ({raw.row(int(np.argmax(found.wrong)))})"
            return f"holds numbers, and {int(found.wrong.sum())} cells that are none, such as {where}"
        return f"has too many different texts ({len(counts)} in {len(present)} rows, such as {present[0][:40]})"
    if alike := written_alike({text: counts[text] for text in kept}):
        remarks.append(f"levels of {name} that differ in their spelling only are kept apart: {'; '.join(alike[:5])}")
    return Column(name=name, kind="categorical", levels=tuple(sorted(kept)), missing=len(present) < len(texts))


def _numeric(raw: RawTable, name: str, values: np.ndarray, remarks: list[str], unit: str | None = None) -> Column | str:
    held = values[np.isfinite(values)]
    if len(endless := np.flatnonzero(np.isinf(values))):
        remarks.append(
            f"{name} holds {len(endless)} infinite values (the first: {raw.row(endless[0])}), which are clipped to its"
            " range"
        )
    if not len(held):
        return "has no values"
    least, most = float(held.min()), float(held.max())
    if least == most:
        return "has one value only"
    whole = bool((held == np.rint(held)).all())
    if _COUNTERS.fullmatch(name) and whole and len(np.unique(held)) == len(values):
        return "numbers the rows"
    if max(abs(least), abs(most)) > 1e17 or most - least < 1e-15:
        return f"has values from {least:g} to {most:g}, too large or too close for 32 bits"
    shared = {"name": name, "kind": "numeric", "integer": whole, "missing": bool(np.isnan(values).any())}
    shared |= {"unit": unit} if unit else {}
    inner = float(np.subtract(*np.quantile(held, (0.95, 0.05))))
    if most - least > _HEAVY * inner and len(np.unique(held)) > 2:
        usual = np.abs(held[held != 0])
        scale = _friendly(float(np.median(usual)))
        ends = (0.0 if least >= 0 else -_friendly(-2 * least)), (0.0 if most <= 0 else _friendly(2 * most))
        return Column(**shared, transform="asinh", scale=scale, low=ends[0], high=ends[1])
    low, high = _widened(least, most, whole)
    return Column(**shared, low=low, high=high)


def _widened(least: float, most: float, whole: bool) -> tuple[float, float]:
    """A twentieth wider to either side and rounded outward to two digits of the range; never across 0."""
    step = 10.0 ** (math.floor(math.log10(most - least)) - 1)
    if whole:
        step = max(step, 1.0)
    margin = (most - least) / 20
    low, high = math.floor((least - margin) / step) * step, math.ceil((most + margin) / step) * step
    low, high = max(low, 0.0) if least >= 0 else low, min(high, 0.0) if most <= 0 else high
    if whole and most - least <= 1:
        low, high = least, most
    return float(f"{low:.12g}"), float(f"{high:.12g}")


def _friendly(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten at or above."""
    power = 10.0 ** math.floor(math.log10(value))
    step = next(step for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
    return float(f"{step * power:.6g}")
