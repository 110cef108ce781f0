"""The server's part of the round over Flower: ask every node once, store what comes, distil.

`flwr run . prod --run-config 'plan="/srv/plan.json" out="/srv/runs/round"'`. A new `flwr run` on the same run folder
goes on where the last one was lost, to the same distilled set.
"""

from collections.abc import Iterator
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from collabdm.cli.output import say
from collabdm.cli.progress import PlainLines
from collabdm.data.naming import public_name
from collabdm.engine import tune_allocator
from collabdm.errors import CollabDMError, explain
from collabdm.flower.gathering import gather
from collabdm.flower.settings import RunSettings, run_settings
from collabdm.planning import settings_for
from collabdm.progress import Report
from collabdm.protocol import Plan, decode_plan
from collabdm.rounds import Reception, hold
from collabdm.rounds.folder import plan_bytes
from collabdm.rounds.receiving import INBOX, close, closed
from collabdm.rounds.run_folder import prepare_run_folder
from collabdm.rounds.terms import Terms
from collabdm.storage.locks import locked

__all__ = ["app", "hold_round", "main"]

app = ServerApp()


@app.lifespan()
def _tuned(_: Context) -> Iterator[None]:
    tune_allocator()
    yield


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Hold the round. What is raised ends the run as `finished:failed`: `QuorumError` where too few answered."""
    report = PlainLines(say)
    try:
        settings = run_settings(context.run_config)
        metrics = hold_round(grid, settings, report=report)
    except CollabDMError as error:
        say(f"error: {error}")
        raise
    sent = len(metrics["bytes"]["up"])
    say(f"distilled set: {settings.out / 'distilled'} from {sent} clients")


def hold_round(grid: Grid, settings: RunSettings, *, report: Report) -> dict[str, Any]:
    """Gather, distil and write the run folder, as `collabdm distill` does; returns what `metrics.json` holds.

    A finished folder is left as it is; one whose reception has closed is distilled from what had come.
    Raises `QuorumError`, and what else `distill_round` raises; `RunFolderError` where the folder belongs to another
    plan or other settings, or another process is at work in it.
    """
    plan, folder = decode_plan(plan_bytes(settings.plan), name=f"plan {settings.plan}"), settings.out
    config = settings_for(settings.configuration, plan)
    terms = Terms(min_clients=settings.min_clients or None, allow_missing=settings.allow_missing_classes)
    # Only a data set that was named may stand on the card.
    named = {} if settings.config is None else {"dataset": public_name(config.dataset)}
    with locked(folder):
        prepare_run_folder(folder, force=False, resume=True)
        return hold(plan, folder, config, _by_nodes(grid, plan, settings), terms=terms, facts=named, report=report)


def _by_nodes(grid: Grid, plan: Plan, settings: RunSettings) -> Reception:
    """Contributions that the nodes are asked for."""
    folder = settings.out

    def take(report: Report) -> dict[str, str]:
        refused = closed(folder)
        if refused is None:
            refused = gather(grid, plan, folder / INBOX, deadline=settings.deadline, report=report)
            close(folder, refused)
        return refused

    fix = "use the plan it was begun with, or choose another folder"
    got, expected = f"{folder}, of another plan", "a round of this plan"
    return Reception(take=take, another_plan=explain("out", got=got, expected=expected, fix=fix))
