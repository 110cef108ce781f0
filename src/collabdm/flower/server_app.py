"""The server's part of the round over Flower: ask every node once, store what comes, distil.

`flwr run . prod --run-config 'plan="/srv/plan.json" out="/srv/runs/round"'`. A new `flwr run` on the same run folder
goes on where the last one was lost, to the same distilled set.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from collabdm.cli.progress import PlainLines
from collabdm.engine import Engine, tune_allocator
from collabdm.errors import CollabDMError, DataError, PlanError, QuorumError, RunFolderError, explain
from collabdm.flower.gathering import gather
from collabdm.flower.settings import RunSettings, run_settings
from collabdm.planning import engine_for, settings_for
from collabdm.progress import Report
from collabdm.protocol import Plan, decode_plan, encode_plan
from collabdm.rounds.distilling import Provenance, distill_round
from collabdm.rounds.receiving import INBOX, close, closed, reopen
from collabdm.rounds.run_folder import environment, finished_metrics, logged, prepare_run_folder, settled_config
from collabdm.rounds.terms import Terms, check_quorum
from collabdm.storage.files import write_atomically, write_json

__all__ = ["app", "hold_round", "main"]

app = ServerApp()


@app.lifespan()
def _tuned(_: Context) -> Iterator[None]:
    tune_allocator()
    yield


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Hold the round. What is raised ends the run as `finished:failed`: `QuorumError` where too few answered."""
    report = PlainLines(lambda line: print(line, flush=True))
    try:
        settings = run_settings(context.run_config)
        metrics = hold_round(grid, settings, report=report)
    except CollabDMError as error:
        print(f"error: {error}", flush=True)
        raise
    sent = len(metrics["bytes"]["up"])
    print(f"distilled set: {settings.out / 'distilled'} from {sent} clients", flush=True)


def hold_round(grid: Grid, settings: RunSettings, *, report: Report) -> dict[str, Any]:
    """Gather, distil and write the run folder, as `collabdm distill` does; returns what `metrics.json` holds.

    A finished folder is left as it is; one whose reception has closed is distilled from what had come.
    Raises `QuorumError`, and what else `distill_round` raises; `RunFolderError` where the folder belongs to another
    plan or other settings.
    """
    plan, folder = _plan(settings), settings.out
    terms = Terms(min_clients=settings.min_clients or None, allow_missing=settings.allow_missing_classes)
    check_quorum(plan, terms)
    config = settings_for(settings.configuration, plan)
    prepare_run_folder(folder, force=False, resume=True)
    if _stored_plan(folder) not in (None, encode_plan(plan)):
        fix = "use the plan it was begun with, or choose another folder"
        raise RunFolderError(explain("out", got=f"{folder}, of another plan", expected="a round of this plan", fix=fix))
    config = settled_config(folder, config, engine_for(config, plan, report=report))
    assert isinstance(config.engine, Engine)
    finished = finished_metrics(folder)
    if finished is not None:
        return finished
    write_atomically(folder / "plan.json", encode_plan(plan))
    report = logged(folder, report)
    # Only a data set that was named may stand on the card.
    named = {} if settings.config is None else {"dataset": config.dataset}
    refused = closed(folder)
    if refused is None:
        refused = gather(grid, plan, folder / INBOX, deadline=settings.deadline, report=report)
        close(folder, refused)
    try:
        metrics = distill_round(
            plan,
            folder / INBOX,
            folder,
            config,
            terms=terms,
            provenance=Provenance(facts=named),
            report=report,
        )
    except (QuorumError, DataError):
        reopen(folder)
        raise
    metrics = metrics | {"refused": refused | metrics["refused"]}
    metrics = metrics | environment(config.engine, metrics.get("memory"))
    write_json(folder / "metrics.json", metrics)
    return metrics


def _plan(settings: RunSettings) -> Plan:
    try:
        return decode_plan(settings.plan.read_bytes(), name=f"plan {settings.plan}")
    except OSError as error:
        got = error.strerror or "an error"
        raise PlanError(explain(f"plan {settings.plan}", got=got, expected="a readable file", fix="check it")) from None


def _stored_plan(folder: Path) -> bytes | None:
    path = folder / "plan.json"
    return path.read_bytes() if path.exists() else None
