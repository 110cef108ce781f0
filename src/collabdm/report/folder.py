"""The report of whatever a folder holds: one run, or a comparison of several."""

from pathlib import Path

from collabdm.errors import RunFolderError, explain
from collabdm.report.comparison import comparison_page
from collabdm.report.run import run_page

__all__ = ["run_report"]


def run_report(folder: Path, *, real: bool = True) -> bytes:
    """One self-contained HTML file about the run or comparison in `folder`; what it lacks is left out.

    `real`: whether a simulation's real examples stand beside its distilled samples.

    Raises `RunFolderError` where it is neither, or a file in it is damaged; `DistilledSetError` for a damaged set.
    """
    if (folder / "comparison.json").is_file():
        return comparison_page(folder, real=real)
    if (folder / "config.toml").is_file():
        return run_page(folder, real=real)
    of_experiment = (folder / "cells").is_dir()
    raise RunFolderError(
        explain(
            f"{folder}",
            got="an experiment" if of_experiment else "no run folder" if folder.exists() else "nothing there",
            expected="a folder of simulate, distill or compare",
            fix="collabdm experiment report NAME --out it" if of_experiment else "check the path",
        )
    )
