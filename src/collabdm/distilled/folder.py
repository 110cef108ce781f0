"""The folder of a distilled set: it appears as a whole or not at all, and replaces only another one."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collabdm.errors import DistilledSetError, explain

__all__ = ["FILE", "refuse_existing", "written_whole"]

FILE = "distilled.safetensors"


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise `DistilledSetError` where something is there that may not be replaced."""
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if overwrite and (target / FILE).is_file():
        return
    raise DistilledSetError(
        explain(
            "folder to write",
            got=f"{target}, which exists" + (" and holds no distilled set" if overwrite else ""),
            expected="a new or empty folder" + (", or a distilled set to replace" if overwrite else ""),
            fix="choose another path" + ("" if overwrite else " or allow overwriting"),
        )
    )


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A folder to build in, beside `target`, that takes its place at the end; an error changes nothing.

    Raises `DistilledSetError` where it cannot be written.
    """
    tag = secrets.token_hex(4)
    building, aside = (
        target.with_name(f".{target.name}.{tag}.part"),
        target.with_name(f".{target.name}.{tag}.old"),
    )
    try:
        building.mkdir(parents=True)
        yield building
        if target.exists():
            os.rename(target, aside)
        try:
            os.rename(building, target)
        except OSError:
            if aside.exists():
                os.rename(aside, target)
            raise
    except OSError as error:
        raise DistilledSetError(
            explain(
                f"folder {target}",
                got=error.strerror or "an error",
                expected="a place to write to",
                fix="check the path, its permissions and the free space",
            )
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
