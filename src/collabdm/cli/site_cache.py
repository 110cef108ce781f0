"""Where a site keeps its work on an answer, so that what was interrupted goes on when it is asked for again."""

import hashlib
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from collabdm.cli.output import say
from collabdm.errors import CollabDMError, FolderBusyError, Interrupted

if TYPE_CHECKING:
    from collabdm.protocol import Plan

__all__ = ["alone_in", "site_cache"]

_ANSWERS = "answers"


@contextmanager
def site_cache(asked: Path | None, plan: "Plan", client: str, out: Path, *, off: bool) -> Iterator[Path | None]:
    """The folder that keeps the work on this client's answer in the block; None where nothing is kept.

    That is the one `asked` for, which keeps the result too; else one of the user's, for this plan, client and `out`
    alone, which goes with the answer. Neither where it is turned `off`, nor under a promise of privacy, where nothing
    of it is kept but what was asked for. Ctrl-C in the block says what helps. Raises `FolderBusyError` where another
    process makes the same answer.
    """
    own = None if asked is not None or off or plan.privacy is not None else _own_folder(plan, client, out)
    folder = asked if asked is not None else own
    try:
        with alone_in(folder, plan, client):
            yield folder
    except KeyboardInterrupt:
        raise Interrupted(_advice(folder, own)) from None
    except FolderBusyError:
        raise
    except CollabDMError:
        # What is refused is refused again: there is nothing to go on from.
        _drop(own)
        raise
    _drop(own)


def _drop(own: Path | None) -> None:
    if own is not None:
        shutil.rmtree(own, ignore_errors=True)


def _advice(folder: Path | None, own: Path | None) -> str:
    if folder is None:
        return "interrupted; nothing was kept: the same command begins anew"
    told = f"interrupted; the same command goes on from here, with what is kept in {folder}"
    return told if own is None else f"{told}; rm -r {shlex.quote(str(own))} drops it"


def _own_folder(plan: "Plan", client: str, out: Path) -> Path | None:
    """A folder below the user's cache, private; None, told, where none can be written."""
    from collabdm.kernels.cache import CacheError, cache_folder
    from collabdm.protocol import plan_digest
    from collabdm.storage.files import private_folder

    key = hashlib.sha256(f"{plan_digest(plan)} {client} {out.absolute()}".encode()).hexdigest()[:16]
    try:
        folder = cache_folder() / _ANSWERS / key
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return private_folder(folder)
    except (CacheError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        say(f"no work is kept on the way ({why}): after Ctrl-C it begins anew; --cache FOLDER keeps it", error=True)
        return None


@contextmanager
def alone_in(cache: Path | None, plan: "Plan", client: str) -> Iterator[None]:
    """One process at a time makes this client's answer; others may use the folder for theirs."""
    from collabdm.protocol import plan_digest
    from collabdm.storage.files import private_folder
    from collabdm.storage.locks import locked

    if cache is None:
        yield
        return
    key = hashlib.sha256(f"{plan_digest(plan)} {client}".encode()).hexdigest()[:16]
    place = private_folder(cache) / f"at-work-{key}"
    with locked(place):
        yield
    # A process that was killed had left it.
    with suppress(OSError):
        place.rmdir()
