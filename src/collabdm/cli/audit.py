"""`collabdm audit`: what a run reveals of single samples, tried out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from collabdm.cli.options import Json, Quiet, seconds_of
from collabdm.cli.output import print_facts, print_json, print_table
from collabdm.cli.progress import progress

__all__ = ["audit"]


def audit(
    run: Annotated[Path, Argument(help="The folder of a finished `simulate`.", show_default=False)],
    canaries: Annotated[int, Option(help="Samples with false labels, each put in by a coin toss.")] = 100,
    rounds: Annotated[int, Option(help="Rounds that are held; the attack on each is tuned on the others.")] = 16,
    alone: Annotated[bool, Option("--alone", help="Each canary is the only one of its class at its client.")] = False,
    budget: Annotated[str | None, Option(help="Begin no further round after a time such as 30m or 2h.")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Try to find out who was in the data.

    The round of RUN is held again and again with its settings and data. Each time, test samples with false labels are
    put among one client's data by coin, and attacks say from the set, and from what the server received, which were
    there. The result goes into RUN/audit.json, the report and, in two lines, the card of the set. An interrupted audit
    goes on with the same command.
    """
    from collabdm.audit import AuditSpec, audit_run
    from collabdm.engine import tune_allocator

    seconds = None if budget is None else seconds_of(budget, "--budget")
    spec = AuditSpec(canaries=canaries, rounds=rounds, alone=alone, seconds=seconds)
    tune_allocator()
    with progress(quiet=quiet) as report:
        found = audit_run(run, spec, report=report)
    if json:
        print_json(found)
    else:
        _tell(run, found)


def _tell(run: Path, found: Mapping[str, Any]) -> None:
    near, promise = found["nearness"], found["promise"]
    placed = "each alone in its class at its client" if found["alone"] else "all at the client that holds most"
    facts = {
        "canaries": f"{found['canaries']}, {placed}, in {found['rounds']} rounds",
        "promise": f"epsilon {promise['epsilon']:g}, delta {promise['delta']:g}" if promise else "none",
        "nearest neighbour": f"a training sample for {near['share']:.0%} of the set, where chance gives 50% "
        f"(p = {near['p']:.2g})",
    }
    print_facts(f"audit: {run / 'audit.json'}", facts)
    header = ("attack", "sees", "members found at 0.1 % false alarms", "AUC", "epsilon is at least")
    rows = [
        (
            name,
            one["sees"],
            f"{one['true_positives']:.1%} of {one['members']}",
            f"{one['auc']:.3f}",
            f"{one['epsilon_at_least']:.2f}",
        )
        for name, one in found["attacks"].items()
    ]
    print_table(header, rows)
