"""The command that makes what a page shows once more."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from collabdm.errors import RunFolderError
from collabdm.report.reading import Begun, checked
from collabdm.storage.files import read_json

__all__ = ["experiment_command", "of_experiment"]


def experiment_command(name: str, preset: str, settings: Sequence[str] = (), only: str | None = None) -> str:
    """`collabdm experiment run` with all that changes its result; of one cell with `only`."""
    given = [word for setting in settings for word in ("--set", setting)]
    chosen = ["--only", only] if only else []
    words = ["collabdm", "experiment", "run", name, "--preset", preset, *given, *chosen]
    # A folder holds one preset.
    return shlex.join([*words, "--out", f"runs/{name}-{preset}"])


def of_experiment(run: Path) -> str | None:
    """The command for a run that lies in an experiment's `runs/`, whole or a repeat; None for any other.

    Such a run's settings alone do not make it again: its data may have been given, cut or completed by the experiment.
    """
    place = run.resolve()
    for cell in (place, place.parent):
        facts = cell.parent.parent / "experiment.json"
        if cell.parent.name == "runs" and facts.is_file():
            try:
                begun = checked(Begun, read_json(facts), str(facts))
            except RunFolderError:
                return None
            return experiment_command(begun.experiment, begun.preset, begun.settings, cell.name)
    return None
