"""One held round, whatever carries its contributions: receive, distil, write the run folder.

A new call on the folder of an interrupted round goes on where it was lost, to the same distilled set.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collabdm.config import Config
from collabdm.engine import Engine
from collabdm.errors import DataError, QuorumError, RunFolderError
from collabdm.planning import engine_for
from collabdm.progress import Report, silent
from collabdm.protocol import Plan, encode_plan
from collabdm.rounds.distilling import Provenance, distill_round
from collabdm.rounds.receiving import INBOX, reopen
from collabdm.rounds.records import HELD
from collabdm.rounds.run_folder import environment, finished_metrics, logged, settled_config
from collabdm.rounds.terms import USUAL, Terms, check_quorum
from collabdm.storage.files import write_atomically, write_json

__all__ = ["Reception", "hold"]


@dataclass(frozen=True, kw_only=True)
class Reception:
    """How a round's contributions come.

    `take`: fill the run folder's `contributions/`, close the reception, and return why others were refused; where it
    has closed already, only the latter. `ending`: what the metrics say besides, when all is done. `another_plan`: the
    message where the run folder belongs to another plan.
    """

    take: Callable[[Report], Mapping[str, str]]
    another_plan: str
    ending: Callable[[Report], Mapping[str, Any]] = lambda report: {}


def hold(
    plan: Plan,
    folder: Path,
    config: Config,
    reception: Reception,
    *,
    terms: Terms = USUAL,
    facts: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Receive, distil, and write the metrics last; returns what `metrics.json` holds.

    `config`: an engine and a draw that it leaves open are settled, and kept in the folder. `facts` go to the set's
    card. A finished folder is left as it is; in one whose reception has closed, what had come is distilled. Where that
    is not enough, the reception is open again.
    Raises `QuorumError`, and what else `distill_round` raises; `RunFolderError` where the folder belongs to another
    plan or other settings.
    """
    check_quorum(plan, terms)
    content, own = encode_plan(plan), folder / "plan.json"
    if own.exists() and own.read_bytes() != content:
        raise RunFolderError(reception.another_plan)
    # A client that could foresee who gets the open slots of the start set could place its samples there.
    config = settled_config(folder, config, engine_for(config, plan, report=report), draw=secrets.randbits(53))
    assert isinstance(config.engine, Engine)
    if not own.exists():
        write_atomically(own, content)
    finished = finished_metrics(folder, HELD)
    if finished is not None:
        return {**finished, **reception.ending(report)}
    report = logged(folder, report)
    refused = reception.take(report)
    provenance = Provenance(facts=facts or {})
    try:
        metrics = distill_round(plan, folder / INBOX, folder, config, terms=terms, provenance=provenance, report=report)
    except (QuorumError, DataError):
        reopen(folder)
        raise
    metrics = metrics | {"refused": {**refused, **metrics["refused"]}, **reception.ending(report)}
    metrics = metrics | environment(config.engine, metrics.get("memory"))
    write_json(folder / "metrics.json", metrics)
    return metrics
