"""`collabdm distill`: the server of a round of files, and of what comes after it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from collabdm.cli.folders import run_folder
from collabdm.cli.membership import changed
from collabdm.cli.options import AllowMissing, Force, Json, MinClients, Quiet, Resume, configured, seconds_of
from collabdm.cli.output import print_facts, print_json, print_next, risen_text, screened_text, topped_text
from collabdm.cli.plan import read_plan
from collabdm.cli.progress import progress
from collabdm.errors import ConfigError, explain

if TYPE_CHECKING:
    from collabdm.config import Config
    from collabdm.protocol import Plan
    from collabdm.rounds import Reception

__all__ = ["distill"]


@configured(
    *("dataset", "device", "engine"),
    elsewhere=(
        *("method", "ipc", "seed", "repeats", "partition", "clients", "beta", "protocol", "networks", "modality"),
        *("label", "schema", "site", "test_fraction", "group", "ignore"),
    ),
    where="the plan says what the round is, and `collabdm evaluate` judges its set",
)
def distill(
    config: "Config",
    out: Annotated[Path, Option(help="The run folder to write.")],
    plan_file: Annotated[Path | None, Argument(metavar="PLAN", help="The plan file.", show_default=False)] = None,
    contributions: Annotated[Path | None, Argument(help="Folder of the clients' files.", show_default=False)] = None,
    dataset: Annotated[str | None, Option(help="The name of the data, for the card of the set.")] = None,
    config_file: Path | None = None,
    deadline: Annotated[
        str | None, Option(help="Wait for files until all clients have answered or this long: 30s, 10m, 2h.")
    ] = None,
    add: Annotated[Path | None, Option(help="Take this late contribution into the finished round at --out.")] = None,
    remove: Annotated[str | None, Option(help="Go on without this client; what it shaped stays (see forget).")] = None,
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
    from collabdm.data.naming import public_name
    from collabdm.engine import tune_allocator
    from collabdm.planning import check_decided, settings_for
    from collabdm.rounds import hold
    from collabdm.rounds.change import under_way
    from collabdm.rounds.terms import Terms

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
            fix = "give PLAN and CONTRIBUTIONS, or --add FILE, or --remove CLIENT, each with --out RUN"
            raise ConfigError(explain("distill", got=got, expected="a plan and a folder", fix=fix))
        asked, limit = read_plan(plan_file), None if deadline is None else seconds_of(deadline, "--deadline")
        check_decided(config, asked, defaults=False)
        settings = settings_for(config, asked)
        # Only a data set that was named may stand on the card.
        named = {"dataset": public_name(config.dataset)} if dataset is not None or config_file is not None else {}
        terms, keep = Terms(min_clients=min_clients, allow_missing=allow_missing_classes), limit is not None
        with run_folder(out, force=force, resume=resume, keep=keep), progress(quiet=quiet) as report:
            reception = _by_files(asked, contributions, out, limit)
            metrics = hold(asked, out, settings, reception, terms=terms, facts=named, report=report)
    print_json(metrics) if json else _tell(metrics, out, quiet=quiet)


def _tell(metrics: dict[str, Any], out: Path, *, quiet: bool) -> None:
    """What came of it, and what comes next."""
    print_facts(f"distilled set: {out / 'distilled'}", _told(metrics))
    if quiet:
        return
    print_next("at each site without an answer", *_still_to_come(metrics, out))
    run = shlex.quote(str(out))
    judge = f"collabdm evaluate {run} --dataset DATA, and then collabdm report {run}"
    print_next("for whoever has test data", judge)


def _by_files(plan: "Plan", source: Path, out: Path, deadline: float | None) -> "Reception":
    """Contributions that lie in a folder, or arrive there until the deadline."""
    from collabdm.rounds import Reception
    from collabdm.rounds.receiving import late_files, receive

    return Reception(
        take=lambda report: receive(plan, source, out, deadline=deadline, report=report),
        another_plan=explain(
            f"{out}", got="another plan", expected="the plan of this run", fix=f"pass {out / 'plan.json'}"
        ),
        ending=lambda report: {"late": late_files(plan, out, report=report)},
    )


def _still_to_come(metrics: dict[str, Any], out: Path) -> list[str]:
    """How the answer of a site that sent none yet is taken; one line, the first site's name standing for all. Of one
    whose masks are open none is taken any more."""
    awaited = [name for name in metrics["missing"] if name not in metrics.get("masks_opened", ())]
    if not awaited:
        return []
    added = f"collabdm distill --add {shlex.quote(awaited[0])}.safetensors --out {shlex.quote(str(out))}"
    return [f"contribute, as the others did; when its file comes, you take it with {added}"]


def _told(metrics: dict[str, Any]) -> dict[str, Any]:
    """What the operator is told of a round or of a change."""
    return {
        # A combined contribution stands for several.
        "clients": f"{len(metrics['bytes']['down']) - len(metrics['missing'])} of {len(metrics['bytes']['down'])}",
        "no usable answer from": metrics["missing"],
        "seconds": f"{metrics['seconds']['distill']:.1f}",
        "made up at the start": topped_text(metrics["topped_up"]),
        "promise of privacy": metrics.get("promise"),
        "NO PRIVACY, noise from a number": metrics.get("insecure_noise"),
        "masks opened of": metrics.get("masks_opened"),
        "classes missing": metrics["missing_classes"],
        "classes not refined": metrics.get("untouched_classes"),
        "kept out of the start set": screened_text(metrics.get("screened")),
        "loss of the set": risen_text(metrics.get("loss")),
        "refused": list(metrics["refused"]),
        "late, not taken": metrics.get("late"),
        "note": metrics.get("note"),
    }


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
        fix = "leave out what is too much: plan and settings are those of RUN"
        raise ConfigError(explain("change of a round", got=", ".join(extra), expected=expected, fix=fix))
