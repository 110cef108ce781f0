"""Training on all data in one place: what no set of the same networks is expected to beat."""

from pathlib import Path

from collabdm.methods import METHODS
from collabdm.report.reading import Row, checked
from collabdm.storage.files import read_json

__all__ = ["comparison_rows", "full_data_beside", "is_full"]


def is_full(method: str | None) -> bool:
    """Whether a method of this name trains on all data as they are; a name that is not known does not."""
    known = METHODS.get(method or "")
    return known is not None and known.source == "full"


def full_data_beside(run: Path) -> float | None:
    """The accuracy of training on all data, where `run` is one of a comparison that has it; raises `RunFolderError`."""
    if not (run.parent / "comparison.json").is_file():
        return None
    return next((row.accuracy_mean for row in comparison_rows(run.parent) if is_full(row.method)), None)


def comparison_rows(folder: Path) -> tuple[Row, ...]:
    """What `comparison.json` holds; raises `RunFolderError`."""
    path = folder / "comparison.json"
    return checked(tuple[Row, ...], read_json(path), str(path))
