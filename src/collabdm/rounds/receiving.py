"""The file server: contributions that lie in a folder, or arrive there until a deadline, are taken into a run folder.

What was taken stays taken whatever becomes of the source, and a reception that has closed stays closed: a server that
is killed at any moment and started again distils from the same contributions.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from collabdm.errors import CollabDMError, ContributionError, DataError, explain
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Acceptance, Plan, acceptance, decode_contribution
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.deadline import begun, end_of
from collabdm.rounds.inbox import accept, intact, mended, read_bounded, recorded, sites_in
from collabdm.rounds.openings import ENDING, take_openings
from collabdm.rounds.records import read_reception
from collabdm.storage.files import private_folder, write_json

__all__ = ["INBOX", "close", "closed", "late_files", "receive", "reopen", "source_of"]

INBOX = "contributions"
SECONDS_BETWEEN_LOOKS = 1.0
_STATE = "reception.json"
_TIMES = ("closes", "seconds", "monotonic", "boot")
_SHOWN = 5


def receive(
    plan: Plan,
    source: Path,
    folder: Path,
    *,
    deadline: float | None = None,
    report: Report = silent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Take the usable `.safetensors` files of `source` into `folder/contributions`; returns why others were refused.

    Without `deadline`: those that are there now. With it (seconds from the first call on this run folder): as they
    arrive, until every client of the plan has answered or the time is up. A file that was refused, perhaps because it
    was still being written, is looked at again when it changes; one that is called after another client than it is of
    is refused. Files that open masks are taken at the end. `clock` counts seconds and never steps. Raises `DataError`
    where there is no such source.
    """
    state = _state(folder)
    if state.get("closed"):
        return state["refused"]
    if not source.is_dir():
        raise DataError(explain("contributions", got=source, expected="a folder of files", fix="check the path"))
    times = {key: state[key] for key in _TIMES if key in state} if "closes" in state else begun(deadline, clock)
    closes = end_of(times, clock)
    state = {"source": str(source.absolute()), **times, "closed": False}
    write_json(folder / _STATE, state)
    private_folder(folder / INBOX)
    door = _Door(plan, source, folder / INBOX, report)
    while True:
        door.look()
        left = 0.0 if closes is None or door.complete else max(closes - clock(), 0.0)
        door.tell(everything=not left)
        if not left:
            break
        sleep(min(SECONDS_BETWEEN_LOOKS, left))
    if not door.complete:
        door.tell_others()
    refused = door.refused | take_openings(plan, source, folder / INBOX, report=report)
    write_json(folder / _STATE, state | {"closed": True, "refused": refused})
    return refused


def closed(folder: Path) -> dict[str, str] | None:
    """Why contributions were refused, where the reception has closed; else None."""
    state = _state(folder)
    return state["refused"] if state.get("closed") else None


def close(folder: Path, refused: Mapping[str, str]) -> None:
    """Take nothing more into the run folder: a reception by other means than files is over."""
    write_json(folder / _STATE, _state(folder) | {"closed": True, "refused": dict(refused)})


def reopen(folder: Path) -> None:
    """Let the next `receive` take files again: what came was not enough."""
    (folder / _STATE).unlink(missing_ok=True)


def late_files(plan: Plan, folder: Path, *, report: Report = silent) -> list[str]:
    """Names of files in the source that could have been taken, had they come before the reception closed.

    A stored contribution that was damaged since is mended where its file is still in the source.
    """
    source = Path(_state(folder).get("source", folder / INBOX))
    expected, stored, late = acceptance(plan), recorded(folder / INBOX), []
    for path in filter(_has_ending, _files(source)) if source.is_dir() else ():
        try:
            content = read_bounded(path, expected)
            client = _client(plan, content, path.name, expected)
        except (CollabDMError, OSError):
            continue
        if intact(plan, client, folder / INBOX, stored):
            continue
        if mended(plan, content, folder / INBOX, client=client):
            message = f"{path.name}: the stored contribution of client {client} was damaged, and is whole again"
            report(Event(stage="collect", done=1, total=1, message=message))
            continue
        late.append(path.name)
        message = f"not taken {path.name}: it came after the reception closed; distill --add takes it"
        report(Event(stage="collect", done=1, total=1, message=message))
    return late


def source_of(folder: Path) -> str | None:
    """The folder that the run's contributions came from, if they came as files."""
    return _state(folder).get("source")


class _Door:
    """One source watched: every version of a file is read once."""

    def __init__(self, plan: Plan, source: Path, inbox: Path, report: Report) -> None:
        self._plan, self._source, self._inbox, self._report = plan, source, inbox, report
        self._expected = acceptance(plan)
        # A file may be called anything, but not after another client than it is of.
        self._named = {f"{client}.safetensors": client for client in plan.clients}
        self._named |= {contribution_name(plan, client): client for client in plan.clients}
        self._seen: dict[str, tuple[int, ...]] = {}
        self._untold: set[str] = set()
        self._settled: set[str] = set()
        self._lost = False
        self._took: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        stored = recorded(inbox)
        whole = {contribution_name(plan, client) for client in plan.clients if intact(plan, client, inbox, stored)}
        self._answered = {client for client, file in sites_in(plan, inbox).items() if file in whole}

    @property
    def complete(self) -> bool:
        return len(self._answered) == len(self._plan.clients)

    def look(self) -> None:
        self._settled = set(self._untold)
        for path in filter(_has_ending, self._there()):
            try:
                stat = path.stat()
                version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if self._seen.get(path.name) == version:
                    continue
                self._seen[path.name] = version
                self._settled.discard(path.name)
                content = read_bounded(path, self._expected)
                sender = self._named.get(path.name)
                sent = accept(self._plan, content, self._inbox, name=path.name, expected=self._expected, sender=sender)
            except (ContributionError, OSError) as error:
                self.refused[path.name] = str(error)
                self._untold.add(path.name)
                continue
            self.refused.pop(path.name, None)
            self._untold.discard(path.name)
            self._answered.update(sent.stands_for)
            if (first := self._took.setdefault(sent.client, path.name)) != path.name:
                self._say(f"{path.name} repeats {first} of {sent.client} to the bit, and counts once with it")
            self._say(None, sent.client)

    def _there(self) -> list[Path]:
        """The files of the source; none, told once, while it cannot be read: a mounted folder may come back."""
        try:
            found = _files(self._source)
        except OSError as error:
            if not self._lost:
                self._say(f"{self._source} cannot be read ({error.strerror}); it is looked for until the deadline")
            self._lost = True
            return []
        self._lost = False
        return found

    def tell(self, *, everything: bool) -> None:
        """Say what was refused: a file that still changes may only be on its way."""
        for name in sorted(self._untold if everything else self._untold & self._settled):
            self._say(f"refused {self.refused[name]}")
            self._untold.discard(name)

    def tell_others(self) -> None:
        """Name the files that were not looked at: a contribution may have lost its ending on its way."""
        known = (ENDING,) if self._plan.masks is not None else ()
        others = [path.name for path in self._there() if not _has_ending(path) and path.suffix not in known]
        if others:
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            self._say(f"not looked at, for want of the ending .safetensors: {', '.join(others[:_SHOWN])}{more}")

    def _say(self, message: str | None, client: str | None = None) -> None:
        done, total = len(self._answered), len(self._plan.clients)
        stage = "collect" if message else "receive"
        self._report(Event(stage=stage, client=client, done=done, total=total, message=message))


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_file())


def _has_ending(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _client(plan: Plan, content: bytes, name: str, expected: Acceptance) -> str:
    return decode_contribution(content, plan, expected=expected, name=name).client


def _state(folder: Path) -> dict[str, Any]:
    return read_reception(folder / _STATE)
