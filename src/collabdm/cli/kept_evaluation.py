"""Where `collabdm evaluate` leaves what it found: in the run whose set it judged, and in a file that was asked for."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collabdm.cli.folders import check_new
from collabdm.cli.output import print_next, say

__all__ = ["keep", "kept_at"]


def kept_at(path: Path, out: Path | None, *, force: bool) -> Path | None:
    """The file that was asked for; None for the run at `path` itself, which keeps its evaluations in any case.

    Raises `RunFolderError` where it is there already.
    """
    if out is None or out.resolve() == path.resolve():
        return None
    check_new(out, force=force)
    return out


def keep(path: Path, place: Path, found: Mapping[str, Any], out: Path | None, *, told: bool) -> None:
    """Keep what was found of the set in `place` in its run, where it is in one, and in the file `out`, where one is
    named. Where that is, and what comes next, is `told` if wanted. `path`: as the set was given."""
    from collabdm.data.naming import public_name
    from collabdm.rounds.evaluations import keep_evaluation, run_of
    from collabdm.storage.files import write_json

    kept: list[Path] = []
    if out is not None:
        write_json(out, found)
        kept.append(out)
    run = run_of(place)
    if run is not None:
        try:
            shown = {**found, "dataset": public_name(str(found["dataset"]))}
            named = path if path.resolve() == run else run
            kept.append(named / keep_evaluation(run, place, shown).name)
        except OSError as error:
            say(f"The run {run} keeps no evaluation: {error.strerror}.", error=True)
            run = None
    if not told or not kept:
        return
    say(f"kept in {' and '.join(map(str, kept))}")
    if run is not None:
        print_next("to see it", f"collabdm report {shlex.quote(str(kept[-1].parent))}")
