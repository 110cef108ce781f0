"""`collabdm distill`: the server of a round of files, and of what comes after it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from collabdm.cli.changes import changed
from collabdm.cli.folders import run_folder
from collabdm.cli.options import AllowMissing, Force, Json, MinClients, Quiet, Resume, configured, seconds_of
from collabdm.cli.output import print_facts, print_json
from collabdm.cli.progress import progress
from collabdm.cli.round import read_plan
from collabdm.errors import ConfigError, DataError, QuorumError, RunFolderError, explain

if TYPE_CHECKING:
    from collabdm.config import Config
    from collabdm.progress import Report
    from collabdm.protocol import Plan

__all__ = ["distill"]


@configured()
def distill(
    config: "Config",
    out: Annotated[Path, Option(help="The run folder to write.")],
    plan_file: Annotated[Path | None, Argument(metavar="PLAN", help="The plan file.", show_default=False)] = None,
    contributions: Annotated[Path | None, Argument(help="Folder of the clients' files.", show_default=False)] = None,
    dataset: str | None = None,
    config_file: Path | None = None,
    deadline: Annotated[
        str | None, Option(help="Wait for files until all clients have answered or this long: 30s, 10m, 2h.")
    ] = None,
    add: Annotated[Path | None, Option(help="Take this late contribution into the finished round at --out.")] = None,
    remove: Annotated[str | None, Option(help="Go on without this client (not forgetting: see forget).")] = None,
    passes: Annotated[
        int | None, Option(min=0, help="For --add and --remove: passes over the seeds; 1 by default.")
    ] = None,
    force: Force = False,
    resume: Resume = False,
    quiet: Quiet = False,
    json: Json = False,
    allow_missing_classes: AllowMissing = False,
    min_clients: MinClients = None,
) -> None:
    """Server: distil a folder of contributions.

    They are copied to OUT/contributions as they come; one that cannot be used is refused by name, and the round goes on
    with the others. --add and --remove change a finished round, whose plan and contributions lie in OUT.
    """
    from collabdm.engine import tune_allocator
    from collabdm.planning import settings_for
    from collabdm.rounds.membership import under_way

    tune_allocator()
    change = add is not None or remove is not None
    if change or (resume and under_way(out) is not None):
        if change:
            _check_alone(config, add, remove, plan_file, deadline, force)
        metrics = changed(
            out, add, remove, passes, min_clients=min_clients, allow_missing=allow_missing_classes, quiet=quiet
        )
    else:
        if plan_file is None or contributions is None or passes is not None:
            got = "--passes without --add or --remove" if passes is not None else "too few arguments"
            fix = "distill PLAN CONTRIBUTIONS --out RUN; or --add FILE or --remove CLIENT with --out RUN"
            raise ConfigError(explain("distill", got=got, expected="a plan and a folder", fix=fix))
        asked, limit = read_plan(plan_file), None if deadline is None else seconds_of(deadline, "--deadline")
        settings = settings_for(config, asked)
        # Only a data set that was named may stand on the card.
        named = {"dataset": config.dataset} if dataset is not None or config_file is not None else {}
        keep = limit is not None
        with run_folder(out, force=force, resume=resume, keep=keep), progress(quiet=quiet) as report:
            metrics = _served(
                asked, contributions, out, settings, named, limit, min_clients, allow_missing_classes, report
            )
    facts = {
        "clients": f"{len(metrics['bytes']['up'])} of {len(metrics['bytes']['down'])}",
        "seconds": f"{metrics['seconds']['distill']:.1f}",
        "topped up": metrics["topped_up"],
        "clients missing": metrics["missing"],
        "classes missing": metrics["missing_classes"],
        "classes not refined": metrics.get("untouched_classes"),
        "refused": list(metrics["refused"]),
        "late, not taken": metrics.get("late"),
        "note": metrics.get("note"),
    }
    print_json(metrics) if json else print_facts(f"distilled set: {out / 'distilled'}", facts)


def _served(
    plan: "Plan",
    contributions: Path,
    out: Path,
    config: "Config",
    named: dict[str, Any],
    deadline: float | None,
    min_clients: int | None,
    allow_missing: bool,
    report: "Report",
) -> dict[str, Any]:
    """Receive, distil, and write the metrics last."""
    from collabdm.engine import Engine
    from collabdm.planning import engine_for
    from collabdm.protocol import encode_plan
    from collabdm.rounds.distilling import Provenance, distill_round
    from collabdm.rounds.receiving import INBOX, late_files, receive, reopen
    from collabdm.rounds.run_folder import environment, finished_metrics, settled_config
    from collabdm.rounds.terms import Terms, check_quorum
    from collabdm.storage.files import write_atomically, write_json

    terms = Terms(min_clients=min_clients, allow_missing=allow_missing)
    check_quorum(plan, terms)
    content, own = encode_plan(plan), out / "plan.json"
    if own.exists() and own.read_bytes() != content:
        raise RunFolderError(explain(f"{out}", got="another plan", expected="its own plan.json", fix="pass that one"))
    settings = settled_config(out, config, engine_for(config, plan, report=report))
    assert isinstance(settings.engine, Engine)
    write_atomically(own, content)
    finished = finished_metrics(out)
    if finished is not None:
        return finished | {"late": late_files(plan, out, report=report)}
    refused = receive(plan, contributions, out, deadline=deadline, report=report)
    try:
        metrics = distill_round(
            plan,
            out / INBOX,
            out,
            settings,
            terms=terms,
            provenance=Provenance(facts=named),
            report=report,
        )
    except (QuorumError, DataError):
        reopen(out)
        raise
    late = late_files(plan, out, report=report)
    metrics = metrics | {"refused": refused | metrics["refused"], "late": late}
    metrics = metrics | environment(settings.engine, metrics.get("memory"))
    write_json(out / "metrics.json", metrics)
    return metrics


def _check_alone(
    config: "Config", add: Path | None, remove: str | None, plan_file: Path | None, deadline: str | None, force: bool
) -> None:
    """A change of a finished round takes its plan and settings from there."""
    from collabdm.config import Config

    given = {
        "--add and --remove": add is not None and remove is not None,
        "PLAN": plan_file is not None,
        "--deadline": deadline is not None,
        "--force": force,
        "settings": config != Config(),
    }
    extra = [name for name, is_given in given.items() if is_given]
    if extra:
        expected = "--add FILE or --remove CLIENT, and --out RUN"
        fix = "leave that out: plan and settings are those of RUN"
        raise ConfigError(explain("change of a round", got=", ".join(extra), expected=expected, fix=fix))
