"""Series that ship with aeon, by name, and how many steps a plan takes of them; no download."""

from importlib.util import find_spec
from pathlib import Path

from collabdm.errors import DataError, explain

__all__ = ["BUNDLED", "PREFIX", "bundled_files"]

PREFIX = "series:"

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
        expected = ", ".join(PREFIX + known for known in BUNDLED)
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
