"""`collabdm report`: a run as one HTML file."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from collabdm.cli.folders import check_new
from collabdm.cli.options import Force, Json, Real
from collabdm.cli.output import print_facts, print_json

__all__ = ["report"]


def report(
    run: Annotated[Path, Argument(help="The folder of a run or of a comparison.", show_default=False)],
    out: Annotated[Path | None, Option(help="The HTML file to write; RUN/report.html by default.")] = None,
    real: Real = True,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a report of a run or comparison: one HTML file with everything inside."""
    from collabdm.report import run_report
    from collabdm.storage.files import write_atomically

    path = run / "report.html" if out is None else out
    # The run's own report may always be made anew; another place may hold something else.
    if out is not None:
        check_new(path, force=force)
    page = run_report(run, real=real)
    write_atomically(path, page)
    facts = {"report": str(path), "bytes": len(page)}
    print_json(facts) if json else print_facts(f"report: {path}", {"bytes": len(page)})
