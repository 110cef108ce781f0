"""Where a command writes: refused before any work, and left as it was when the input turns out to be bad."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collabdm.errors import ConfigError, DataError, PlanError, QuorumError, RunFolderError, explain
from collabdm.storage.locks import has_content, locked

__all__ = ["check_new", "run_folder"]


@contextmanager
def run_folder(folder: Path, *, force: bool, resume: bool, keep: bool = False) -> Iterator[None]:
    """The run folder of a new or resumed run. Input that is refused in the block leaves everything as it was; what the
    machine refuses (`OSError`) leaves the run that was to be replaced.

    With `keep`, a folder that has contributions stays for `--resume`: they may be hard to get again.
    Raises `RunFolderError` where it exists, without `force` and `resume`, or another run is at work there.
    """
    _check_writable(folder)
    # Also where it is given as `.` or as a link.
    folder = folder.resolve()
    with locked(folder), _prepared(folder, force=force, resume=resume, keep=keep):
        yield


@contextmanager
def _prepared(folder: Path, *, force: bool, resume: bool, keep: bool) -> Iterator[None]:
    from collabdm.rounds.run_folder import MARKS, prepare_run_folder

    previous = folder.with_name(f".{folder.name}.previous")
    replacing = force and not resume and any((folder / mark).is_file() for mark in MARKS)
    if replacing and Path.cwd().is_relative_to(folder):
        fix = "run the command from another folder"
        raise RunFolderError(explain("--force", got=f"{folder}, where you are", expected="another folder", fix=fix))
    if not replacing:
        prepare_run_folder(folder, force=force, resume=resume)
        with _undone(folder, keep=keep):
            yield
        return
    shutil.rmtree(previous, ignore_errors=True)
    folder.rename(previous)
    # At once: a link to it must not lead to nothing.
    folder.mkdir()
    try:
        # The lock on the earlier run went aside with it.
        with locked(folder), _undone(folder, keep=keep, previous=previous):
            yield
    finally:
        shutil.rmtree(previous, ignore_errors=True)


@contextmanager
def _undone(folder: Path, *, keep: bool, previous: Path | None = None) -> Iterator[None]:
    """What is refused in the block leaves the folder as it was, and puts the `previous` one back."""
    new = not has_content(folder)
    try:
        yield
    except (ConfigError, DataError, PlanError, QuorumError, OSError) as error:
        if keep and any(folder.glob("contributions/*.safetensors")):
            raise
        # A full disk, say: a new run can go on with --resume, but it is no reason to lose the run before it.
        if isinstance(error, OSError) and previous is None:
            raise
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        if previous is not None:
            previous.rename(folder)
        elif new:
            folder.mkdir(exist_ok=True)
        raise


def check_new(path: Path, *, force: bool) -> None:
    """Raise `RunFolderError` where `path` exists, with `force` only where it is a folder; or cannot be written."""
    _check_writable(path)
    if not path.exists() or (force and path.is_file()):
        return
    fix = "choose another --out" if path.is_dir() else "choose another --out, or --force to replace it"
    got = f"{path}, a folder" if path.is_dir() else f"{path}, a file"
    raise RunFolderError(explain("--out", got=f"{got} that exists", expected="a new path", fix=fix))


def _check_writable(path: Path) -> None:
    """Before any work is done: whether `path`, or the first folder above it that there is, can be written to."""
    there = next(above for above in (path, *path.absolute().parents) if os.path.lexists(above))
    problem = "a link to nothing" if not there.exists() else "no right to write there"
    if there != path and there.exists() and not there.is_dir():
        problem = "a file, not a folder"
    elif there.exists() and os.access(there, os.W_OK):
        return
    expected, fix = "a place that can be written", "choose another path"
    raise RunFolderError(explain("--out", got=f"{path}: {there} is {problem}", expected=expected, fix=fix))
