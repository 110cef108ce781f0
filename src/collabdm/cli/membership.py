"""`collabdm forget`, and what `distill --add` and `--remove` do: clients come and go after a round."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from collabdm.cli.options import AllowMissing, Json, MinClients, Quiet
from collabdm.cli.output import print_facts, print_json
from collabdm.cli.progress import progress
from collabdm.errors import ContributionError, explain
from collabdm.storage.locks import locked

__all__ = ["changed", "forget"]

NOT_FORGOTTEN = (
    "this is NOT forgetting: the set was shaped by that site's data, and what it shaped remains; "
    "to make the set anew as if the site had never been there: collabdm forget {client} --out {out}"
)


def changed(
    out: Path,
    added: Path | None,
    removed: str | None,
    passes: int | None,
    *,
    min_clients: int | None,
    allow_missing: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Add a file, remove a client, or finish whatever change was interrupted; returns the metrics, with a `note`."""
    from collabdm.rounds.change import under_way
    from collabdm.rounds.membership import add, carry_out, remove

    with _alone_in(out), progress(quiet=quiet) as report:
        if added is None and removed is None:
            pending = under_way(out)
            metrics = carry_out(out, report=report)
            removed = pending.client if pending is not None and pending.kind == "remove" else None
        elif added is not None:
            metrics = add(
                out,
                _read(out, added),
                name=added.name,
                passes=1 if passes is None else passes,
                min_clients=min_clients,
                allow_missing=allow_missing,
                report=report,
            )
        else:
            assert removed is not None
            metrics = remove(
                out,
                removed,
                passes=1 if passes is None else passes,
                min_clients=min_clients,
                allow_missing=allow_missing,
                report=report,
            )
    if removed is not None:
        return metrics | {"note": NOT_FORGOTTEN.format(client=removed, out=out)}
    return metrics | {"note": _gone_on(1 if passes is None else passes)}


def _gone_on(passes: int) -> str:
    """What adding did, and what it did not."""
    how = "1 pass" if passes == 1 else f"{passes} passes"
    did = f"the set went on from where it was, with {how} over the seeds, towards the means of all who are in now"
    not_ = "it is near the set of a round that had them all from the start, and not that set"
    return f"{did}; {not_}: distil all files anew for that; --passes N goes further"


def forget(
    client: Annotated[str, Argument(metavar="CLIENT", help="The site's name in the plan.", show_default=False)],
    out: Annotated[Path, Option(help="The folder of the finished round.")],
    quiet: Quiet = False,
    json: Json = False,
    allow_missing_classes: AllowMissing = False,
    min_clients: MinClients = None,
) -> None:
    """Server: forget a site. Remove all that came of it, and distil anew from the others.

    The new set equals, to the bit, the one of a round that never had the site.
    """
    from collabdm.engine import tune_allocator
    from collabdm.rounds.membership import forget, unknown_files
    from collabdm.rounds.receiving import source_of

    tune_allocator()
    with _alone_in(out), progress(quiet=quiet) as report:
        metrics = forget(out, client, min_clients=min_clients, allow_missing=allow_missing_classes, report=report)
    source = source_of(out)
    facts = {
        "clients": f"{len(metrics['bytes']['down']) - len(metrics['missing'])} of {len(metrics['bytes']['down'])}",
        "seconds": f"{metrics['seconds']['distill']:.1f}",
        "classes missing": metrics["missing_classes"],
        "also in the folder, left alone": unknown_files(out),
        "not recalled": [
            *([f"the site's file in {source}, if it is still there"] if source else []),
            "copies of the earlier set and networks trained on it",
            "backups and snapshots of the disk",
            "what the site itself kept",
        ],
    }
    if json:
        print_json(metrics | {key.replace(" ", "_").replace(",", ""): facts[key] for key in list(facts)[-2:]})
    else:
        print_facts(f"{client} is forgotten; distilled set: {out / 'distilled'}", facts)


def _alone_in(out: Path) -> AbstractContextManager[None]:
    """Where there is no such folder, what is to be changed is missed in other words."""
    return locked(out) if out.is_dir() else nullcontext()


def _read(out: Path, path: Path) -> bytes:
    from collabdm.rounds.membership import read_late

    try:
        return read_late(out, path)
    except OSError as error:
        got = error.strerror or "an error"
        raise ContributionError(
            explain(f"--add {path}", got=got, expected="a readable contribution", fix="check the path")
        ) from None
