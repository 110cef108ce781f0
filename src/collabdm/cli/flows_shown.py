"""What the commands on flows have in common: the folder that they write, and what they tell of the files they read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collabdm.errors import RunFolderError, explain

__all__ = ["check_flows_folder", "shown_reading", "told_flows"]

# What `to-images` and `to-table` write.
_OWN = ("flows.json", "schema.json", "train.parquet", "test.parquet")

_LEFT_OUT = {"blank_lines": "blank", "empty_rows": "of separators alone", "header_lines": "the header again"}
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def check_flows_folder(out: Path, *, force: bool) -> None:
    """Raise `RunFolderError` where `out` exists; with `force`, only where it is none that this command wrote, has other
    things in it, or is where the user stands."""
    if not out.exists():
        return
    if force and (out / "flows.json").is_file():
        others = sorted(path.name for path in out.iterdir() if path.name not in _OWN)
        if not others and not Path.cwd().is_relative_to(out):
            return
        got = f"{out}, which also has {', '.join(others[:5])}" if others else f"{out}, where you are"
        fix = "choose another --out, or take away what is not of the data set"
        raise RunFolderError(explain("--force", got=got, expected="an earlier data set of flows alone", fix=fix))
    fix = "choose another --out" + ("" if force else ", or --force to replace an earlier data set of flows")
    raise RunFolderError(explain("--out", got=f"{out}, which exists", expected="a new folder", fix=fix))


def told_flows(facts: Mapping[str, Any], seconds: float) -> dict[str, object]:
    """How many flows were read, and whether they are made up."""
    rows = facts["read"]["rows"] + facts.get("read_test", {}).get("rows", 0)
    return {
        "SYNTHETIC": "made by `flows generate`, not measured traffic" if facts["source"]["synthetic"] else "",
        "flows": f"{rows} ({rows / seconds:,.0f} a second)",
    }


def shown_reading(facts: Mapping[str, Any]) -> dict[str, object]:
    """What was repaired and left out in the file, and in the test file where there is one."""
    tested = _shown_reading(facts.get("read_test", {}))
    return {**_shown_reading(facts["read"]), **{f"{name}, test file": told for name, told in tested.items()}}


def _shown_reading(read: Mapping[str, Any]) -> dict[str, object]:
    """What was repaired and left out in a file."""
    return {
        "duplicates": read.get("duplicates") or "",
        "repaired": {k: read[k] for k in ("clipped", "missing", "other", "ports", "trimmed") if k in read},
        "lines left out": {told: read[kind] for kind, told in _LEFT_OUT.items() if read.get(kind)},
        "doubled": [f"{name} (the same in both columns)" for name in read.get("doubled_columns", ())],
        "separator": _SEPARATORS.get(read.get("separator", ","), ""),
        "ignored": read.get("ignored_columns"),
    }
