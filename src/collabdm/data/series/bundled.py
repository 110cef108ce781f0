"""Series that ship with aeon, by name, and one that every installation has; no download."""

from importlib.util import find_spec
from pathlib import Path

from collabdm.data.digits import digits_in
from collabdm.data.presets import PRESETS
from collabdm.data.series.raw import RawSeries, SeriesPart
from collabdm.errors import DataError, explain

__all__ = ["BUNDLED", "DIGITS", "PREFIX", "bundled_files", "digits_series"]

PREFIX = "series:"
DIGITS = "series:digits"
"""scikit-learn's digits, 8x8 grey values, read along their rows."""

BUNDLED = {
    "acsf1": "ACSF1",
    "arrow_head": "ArrowHead",
    "basic_motions": "BasicMotions",
    "gun_point": "GunPoint",
    "italy_power_demand": "ItalyPowerDemand",
    "japanese_vowels": "JapaneseVowels",
    "osu_leaf": "OSULeaf",
    "pickup_gesture": "PickupGestureWiimoteZ",
}
"""The sets by the name after `series:`, and what aeon calls them."""


def bundled_files(source: str) -> dict[str, Path]:
    """The files of `series:NAME` by part. Raises `DataError` for an unknown name, or where aeon is not installed.

    aeon is not imported, which takes seconds: only its files are read.
    """
    name = BUNDLED.get(source.removeprefix(PREFIX))
    if name is None:
        expected = ", ".join((DIGITS, *(PREFIX + known for known in BUNDLED)))
        raise DataError(explain("data set", got=source, expected=f"one of {expected}", fix="choose one of these"))
    spec = find_spec("aeon")
    if spec is None or spec.origin is None:
        fix = 'pip install "collabdm[series]", or give .ts files of your own'
        raise DataError(explain(f"data set {source}", got="no package aeon", expected="aeon, with its data", fix=fix))
    folder = Path(spec.origin).parent / "datasets" / "data" / name
    files = {part: folder / f"{name}_{part.upper()}.ts" for part in ("train", "test")}
    if missing := [path for path in files.values() if not path.is_file()]:
        fix = "install another version of aeon, or give .ts files of your own"
        raise DataError(explain(f"data set {source}", got=f"no {missing[0]}", expected="the set in aeon", fix=fix))
    return files


def digits_series() -> RawSeries:
    """The digits as series: a channel for each of the 8 rows of pixels, a step for each of the 8 columns."""
    parts = {}
    for split in ("train", "test"):
        values, labels = digits_in(split)
        parts[split] = SeriesPart(values=values, labels=labels, place=lambda row: f"{DIGITS}, row {row}")
    return RawSeries(name="digits-series", classes=PRESETS["digits"].classes, parts=parts)
