"""Files with which sites open the masks of missing ones: they lie in the folder of the contributions."""

import errno
import hashlib
from dataclasses import dataclass
from pathlib import Path

from collabdm.errors import ContributionError, explain
from collabdm.privacy.mask_openings import MOST_OPENING, MaskOpening, decode_opening
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Plan
from collabdm.storage.files import write_atomically
from collabdm.storage.reading import regular_bytes

__all__ = ["ENDING", "Openings", "openings_in", "take_openings"]

ENDING = ".opening"


@dataclass(frozen=True, kw_only=True)
class Openings:
    """Usable files by name, their SHA-256 as well; and why others were refused."""

    found: dict[str, MaskOpening]
    digests: dict[str, str]
    refused: dict[str, str]


def openings_in(plan: Plan, folder: Path, *, report: Report = silent) -> Openings:
    """Every `.opening` file of the folder, read and checked where the plan has masks; a bad one costs only itself."""
    openings = Openings(found={}, digests={}, refused={})
    if plan.masks is None or not folder.is_dir():
        return openings
    for path in sorted(path for path in folder.iterdir() if path.suffix == ENDING and path.is_file()):
        try:
            content = _bounded(path)
            openings.found[path.name] = decode_opening(content, plan, name=path.name)
            openings.digests[path.name] = hashlib.sha256(content).hexdigest()
        except (ContributionError, OSError) as error:
            openings.refused[path.name] = str(error)
            report(Event(stage="collect", done=0, total=1, message=f"refused {error}"))
    return openings


def take_openings(plan: Plan, source: Path, inbox: Path, *, report: Report = silent) -> dict[str, str]:
    """Copy the usable files of `source` into `inbox`; returns why others were refused."""
    openings = openings_in(plan, source, report=report)
    for name, opening in openings.found.items():
        # By its digest: another file of that name, taken earlier, stays.
        target = inbox / f"{plan.clients.index(opening.client)}-{openings.digests[name][:16]}{ENDING}"
        if not target.exists():
            write_atomically(target, _bounded(source / name), private=True)
    return openings.refused


def _bounded(path: Path) -> bytes:
    """Raises `ContributionError` for what is larger than any opening, or no file."""
    try:
        return regular_bytes(path, MOST_OPENING)
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.EINVAL):
            raise
        fix = "ask the site for it again: collabdm open-masks"
        expected = f"a file of at most {MOST_OPENING:,} bytes"
        raise ContributionError(explain(path.name, got=error.strerror, expected=expected, fix=fix)) from None
