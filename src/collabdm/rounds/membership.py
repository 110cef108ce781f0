"""Clients come and go after a round: a contribution is added, left out, or forgotten.

Adding and leaving out recompute the target from all stored contributions and go on from the present set. Forgetting
starts again from the others' contributions, so that its set is the one that a round without the site had made.

`change.json` says what is under way, from before anything is touched until all is done: a change that was killed at any
moment goes on when it is asked for again.
"""

import hashlib
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collabdm.classifiers.teacher import TEACHER
from collabdm.distilled.set import load
from collabdm.engine import Engine
from collabdm.errors import ContributionError, DataError, RunFolderError, did_you_mean, explain
from collabdm.progress import Event, Report, silent
from collabdm.protocol import Contribution, acceptance, decode_contribution
from collabdm.protocol.stored import StoredContributions
from collabdm.report.evaluated import EVALUATIONS
from collabdm.rounds.change import PENDING, Change, under_way, write_change
from collabdm.rounds.contributing import contribution_name
from collabdm.rounds.distilling import Provenance, distill_round
from collabdm.rounds.folder import config_of, plan_of, record_of
from collabdm.rounds.inbox import Collected, accept, collect, discard, mended, read_bounded, sites_in
from collabdm.rounds.receiving import INBOX
from collabdm.rounds.run_folder import environment
from collabdm.rounds.terms import Terms, checked_start
from collabdm.storage.files import read_json, sweep, write_atomically, write_json
from collabdm.storage.locks import LOCK

__all__ = ["add", "carry_out", "forget", "read_late", "remove", "unknown_files"]


_BEFORE, _INCOMING = "before.safetensors", "incoming.safetensors"
# All that a round, a change or an evaluation derives from contributions, and that forgetting removes.
_DERIVED = (
    *("initial", "distilled", "loss.png", "round.json", "metrics.json", "networks.json", "curve.json", "events.jsonl"),
    EVALUATIONS,
    *("checkpoint.safetensors", TEACHER, _BEFORE, _INCOMING),
)
_KEPT = ("config.toml", "plan.json", INBOX, f"{INBOX}.sha256", "reception.json", PENDING, LOCK)


def add(
    folder: Path,
    content: bytes,
    *,
    name: str,
    passes: int = 1,
    min_clients: int | None = None,
    allow_missing: bool = False,
    report: Report = silent,
) -> dict[str, Any]:
    """Take a late contribution into the finished round in `folder`; returns its new metrics.

    One that is in already, but was damaged there since, is mended, and nothing else changes. `name` is what messages
    call the file. Raises `RunFolderError` where there is no finished round or another change is under way,
    `ContributionError` where the file cannot be used or the client's is in already.
    """
    plan = plan_of(folder)
    expected = acceptance(plan)
    contribution = decode_contribution(content, plan, expected=expected, name=name)
    digest, client = hashlib.sha256(content).hexdigest(), contribution.client
    asked = Change(kind="add", client=client, digest=digest, passes=passes)
    if not _again(folder, asked):
        if mended(plan, content, folder / INBOX, client=client):
            record_of(folder)
            message = f"{name}: the stored contribution of client {client} was damaged, and is whole again"
            report(Event(stage="collect", client=client, done=1, total=1, message=message))
            return read_json(folder / "metrics.json", dict)
        stored = collect(plan, folder / INBOX)
        if (folder / INBOX / contribution_name(plan, client)).exists():
            same = "the same file" if stored.digests.get(client) == digest else "a second contribution"
            what = "one client once; to replace it, remove the old one first"
            raise ContributionError(
                explain(name, got=f"{same} of client {client}", expected=what, fix="nothing to add")
            )
        if again := sorted(set(contribution.stands_for) & set(sites_in(plan, folder / INBOX))):
            got, what = f"data of client {', '.join(again[:5])}, who is in already", "every client once"
            fix = "ask for one that leaves it out"
            raise ContributionError(explain(name, got=got, expected=what, fix=fix))
        others = _sound(stored, beside=contribution)
        terms = Terms(min_clients=min_clients, allow_missing=allow_missing)
        checked_start(plan, others, terms)
        write_atomically(folder / _INCOMING, content, private=True)
        _begin(folder, asked.model_copy(update=asdict(terms)))
    return carry_out(folder, report=report)


def read_late(folder: Path, path: Path) -> bytes:
    """The bytes of a late contribution to the round in `folder`, unless they are more than any honest one has.

    Raises `ContributionError` where they are, `OSError` where they cannot be read.
    """
    return read_bounded(path, acceptance(plan_of(folder)))


def remove(
    folder: Path,
    client: str,
    *,
    passes: int = 1,
    min_clients: int | None = None,
    allow_missing: bool = False,
    report: Report = silent,
) -> dict[str, Any]:
    """Go on without a client, whose stored contribution is deleted. This is NOT forgetting: the set was shaped by it.

    Raises `RunFolderError` as `add` does; `DataError` where the client is not in, or nobody else holds a class (unless
    `allow_missing`); `QuorumError` where too few are left.
    """
    asked = Change(kind="remove", client=client, passes=passes)
    if not _again(folder, asked):
        terms = Terms(min_clients=min_clients, allow_missing=allow_missing)
        digest = _left(folder, client, known=_clients_in(folder), terms=terms)
        _begin(folder, asked.model_copy(update={"digest": digest, **asdict(terms)}))
    return carry_out(folder, report=report)


def forget(
    folder: Path,
    client: str,
    *,
    min_clients: int | None = None,
    allow_missing: bool = False,
    report: Report = silent,
) -> dict[str, Any]:
    """Remove all that came of a client, and distil anew from the others, as if it had never been there.

    `distilled/` then equals, to the bit, that of a round without the client. The site may have been left out before:
    the set was shaped by it all the same. Raises what `remove` raises.
    """
    asked = Change(kind="forget", client=client)
    if not _again(folder, asked):
        shaped = _clients_in(folder) | {entry["client"] for entry in record_of(folder).get("history", ())}
        terms = Terms(min_clients=min_clients, allow_missing=allow_missing)
        _left(folder, client, known=shaped, terms=terms)
        _begin(folder, asked.model_copy(update=asdict(terms)))
    return carry_out(folder, report=report)


def unknown_files(folder: Path) -> list[str]:
    """What lies in a run folder and is not known to come from a round: forgetting leaves it alone."""
    return sorted(path.name for path in folder.iterdir() if path.name not in (*_KEPT, *_DERIVED))


def carry_out(folder: Path, *, report: Report = silent) -> dict[str, Any]:
    """Do what `change.json` says, from wherever it was interrupted; returns the metrics."""
    change, plan, config = under_way(folder), plan_of(folder), config_of(folder)
    assert change is not None, folder
    assert isinstance(config.engine, Engine)
    sweep(folder)
    if change.kind == "add":
        content = _kept(folder, _INCOMING)
        accept(plan, content, folder / INBOX, name=change.client, expected=acceptance(plan))
    else:
        discard(plan, change.client, folder / INBOX)
    if change.kind == "forget":
        # First of all, and once: nothing of the site is left however this ends, and what is made anew stays.
        used, facts, present = config, change.facts, None
        history = tuple(entry for entry in change.history if entry["kind"] == "forget")
        if not change.purged:
            _purge(folder)
            write_change(folder, change.model_copy(update={"purged": True, "history": history}))
    else:
        server = config.server.model_copy(update={"passes": change.passes})
        used, present, history = config.model_copy(update={"server": server}), load(folder / _BEFORE), change.history
        made = [entry for entry in (*history, change.entry) if entry["kind"] != "forget"]
        server_facts = config.server.fitted(plan).model_dump(exclude_none=True, exclude={"draw"})
        facts = change.facts | {"server": server_facts, "changes": made}
    metrics = distill_round(
        plan,
        folder / INBOX,
        folder,
        used,
        terms=Terms(min_clients=change.min_clients, allow_missing=change.allow_missing),
        provenance=Provenance(facts=facts, history=[*history, change.entry], present=present),
        report=report,
    )
    write_json(folder / "metrics.json", metrics | environment(config.engine, metrics.get("memory")))
    (folder / PENDING).unlink()
    for name in (_BEFORE, _INCOMING):
        (folder / name).unlink(missing_ok=True)
    return metrics


def _kept(folder: Path, name: str) -> bytes:
    """What was laid aside for a change. Raises `RunFolderError` where it is gone."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        fix = "restore it, or remove change.json and ask for the change again"
        got = error.strerror or "an error"
        raise RunFolderError(explain(f"{folder / name}", got=got, expected="what the change needs", fix=fix)) from None


def _again(folder: Path, asked: Change) -> bool:
    """Whether `asked` is the change under way; raises `RunFolderError` where another one is."""
    pending = under_way(folder)
    if pending is None or pending.asked == asked.asked:
        return pending is not None
    got = f"{pending.kind} of {pending.client} that was interrupted"
    fix = f"finish it first: collabdm distill --resume --out {folder}"
    raise RunFolderError(explain(f"{folder}", got=got, expected="a finished run", fix=fix))


def _begin(folder: Path, change: Change) -> None:
    record = record_of(folder)
    if change.kind != "forget":
        write_atomically(folder / _BEFORE, (folder / "distilled" / "distilled.safetensors").read_bytes())
    facts = {name: value for name, value in record.get("facts", {}).items() if name not in ("changes", "server")}
    known = {"facts": facts, "history": record.get("history", [])}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    write_change(folder, Change.model_validate(change.model_dump() | known | {"when": when}))


def _left(folder: Path, client: str, *, known: Collection[str], terms: Terms) -> str:
    """Check that the round can do without the client; its stored contribution's digest, if there is any."""
    plan = plan_of(folder)
    if client not in known:
        names = sorted(known)
        expected, fix = f"one that is in this round: {', '.join(names[:10])}", did_you_mean(client, names, "check it")
        raise DataError(explain("client", got=client, expected=expected, fix=fix))
    stored = collect(plan, folder / INBOX)
    refused = {name: why for name, why in stored.refused.items() if name != contribution_name(plan, client)}
    sent = stored.contributions.get(client)
    if sent is not None and sent.sites:
        got = f"in one combined contribution with {', '.join(name for name in sent.sites[:6] if name != client)}"
        fix = "hold the round again with contributions that leave it out"
        raise DataError(explain(f"client {client}", got=got, expected="a contribution of its own", fix=fix))
    checked_start(plan, _sound(replace(stored, refused=refused), without=client), terms)
    return stored.digests.get(client, "")


def _sound(
    stored: Collected, *, without: str | None = None, beside: Contribution | None = None
) -> Sequence[Contribution]:
    """All stored contributions but one client's, with another `beside` them; one that was damaged is not left out
    silently."""
    if stored.refused:
        raise ContributionError(next(iter(stored.refused.values())))
    if isinstance(stored.contributions, StoredContributions):
        return stored.contributions.changed(without=without, beside=beside)
    others = [one for client, one in stored.contributions.items() if client != without]
    return others if beside is None else [*others, beside]


def _clients_in(folder: Path) -> set[str]:
    plan = plan_of(folder)
    return {client for client in plan.clients if (folder / INBOX / contribution_name(plan, client)).exists()}


def _purge(folder: Path) -> None:
    # An interrupted --force may have left the run before this one. `folder` may be given as `.`, which has no name.
    real = folder.resolve()
    for path in (*(folder / name for name in _DERIVED), real.with_name(f".{real.name}.previous")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
