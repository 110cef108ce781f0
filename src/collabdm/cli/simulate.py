"""`collabdm simulate` and `collabdm compare`: all clients in one process."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from collabdm.cli.course import Course, round_course
from collabdm.cli.folders import run_folder
from collabdm.cli.options import (
    AllowMissing,
    Force,
    Json,
    MaxUpload,
    MinClients,
    Quiet,
    Resume,
    bytes_of,
    configured,
    listed,
)
from collabdm.cli.output import (
    accuracy_text,
    bytes_text,
    dearer_text,
    print_facts,
    print_json,
    print_next,
    print_table,
    risen_text,
    screened_text,
    topped_text,
)
from collabdm.cli.progress import progress, say_reading

if TYPE_CHECKING:
    from collabdm.config import Config

__all__ = ["compare", "comparison", "simulate"]


@configured()
def simulate(
    config: "Config",
    out: Annotated[Path, Option(help="The run folder to write.")],
    force: Force = False,
    resume: Resume = False,
    quiet: Quiet = False,
    json: Json = False,
    allow_missing_classes: AllowMissing = False,
    min_clients: MinClients = None,
    max_upload: MaxUpload = None,
) -> None:
    """Hold a whole round on this machine and judge it.

    One data set is shared among clients; everything is encoded as between real sites.
    """
    say_reading(config.dataset, quiet=quiet)
    from collabdm.engine import tune_allocator
    from collabdm.simulation.simulate import simulate

    tune_allocator()
    shown = progress(quiet=quiet, course=_course(config))
    with run_folder(out, force=force, resume=resume), shown as report:
        metrics = simulate(
            config,
            out,
            allow_missing=allow_missing_classes,
            min_clients=min_clients,
            max_upload=None if max_upload is None else bytes_of(max_upload, "--max-upload"),
            report=report,
        )
    if json:
        print_json(metrics)
    else:
        print_facts(
            f"{metrics['method']} on {config.dataset}, ipc {config.ipc}: {out}",
            _facts(metrics, limited=max_upload is not None),
        )
        if not quiet:
            print_next("to see it", f"collabdm report {shlex.quote(str(out))}")


@configured(
    *("dataset", "ipc", "seed", "repeats", "device", "engine", "partition", "clients", "beta", "protocol", "networks"),
    *("modality", "label", "schema", "site", "test_fraction", "group", "ignore"),
)
def compare(
    config: "Config",
    out: Annotated[Path, Option(help="The folder to write: one run folder per method, and comparison.json.")],
    methods: Annotated[str | None, Option(help="Methods to compare, a,b,c; the usual seven by default.")] = None,
    force: Force = False,
    resume: Resume = False,
    quiet: Quiet = False,
    json: Json = False,
    allow_missing_classes: AllowMissing = False,
) -> None:
    """Run several methods on one data set; print a table.

    They share partition, seeds and networks, and what they agree on is computed once.
    """
    named = None if methods is None else listed(methods)
    comparison(
        config, named, out, force=force, resume=resume, quiet=quiet, json=json, allow_missing=allow_missing_classes
    )


def comparison(
    config: "Config",
    methods: Sequence[str] | None,
    out: Path,
    *,
    force: bool,
    resume: bool,
    quiet: bool,
    json: bool,
    allow_missing: bool = False,
) -> None:
    """Compare `methods` (the usual seven by default) into the folder `out`, and print the table."""
    say_reading(config.dataset, quiet=quiet)
    from collabdm.engine import tune_allocator
    from collabdm.simulation.comparison import COMPARED, compare

    chosen = COMPARED if methods is None else methods
    tune_allocator()
    with run_folder(out, force=force, resume=resume), progress(quiet=quiet) as report:
        rows = compare(config, chosen, out, allow_missing=allow_missing, report=report)
    if json:
        print_json(rows)
        return
    # Bytes and seconds are each client's, as a mean; accuracy is that of all kinds of judges together.
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.get("by_network", {})))
    columns = (
        "accuracy",
        *kinds,
        "macro-F1",
        "protocol",
        "down each",
        "up each",
        "rounds",
        "client s",
        "server s",
        "seconds",
    )
    header = ("method", *columns)
    print_table(header, [_row(row, kinds) for row in rows])
    if not quiet:
        print_next("to see them", f"collabdm report {shlex.quote(str(out))}")


def _course(config: "Config") -> Course | None:
    """What the run goes through; None where that is not known before."""
    from collabdm.methods import method_named

    if config.repeats > 1 or method_named(config.method).source != "round":
        return None
    clients = config.partition.clients
    return round_course(clients if isinstance(clients, int) else len(clients))


def _row(row: Mapping[str, Any], kinds: Sequence[str]) -> tuple[str, ...]:
    accuracy, found = accuracy_text(row["accuracy_mean"], row["accuracy_std"]), row.get("by_network", {})
    return (
        row["method"],
        accuracy,
        *(accuracy_text(found[kind]["mean"], found[kind]["std"]) if kind in found else "" for kind in kinds),
        f"{100 * row['macro_f1_mean']:.1f} %" if "macro_f1_mean" in row else "",
        row["protocol"] or "",
        bytes_text(row["bytes_down"]),
        bytes_text(row["bytes_up"]),
        str(row["rounds"]),
        f"{row['client_seconds']:.1f}",
        f"{row['server_seconds']:.1f}",
        f"{row['seconds']:.1f}",
    )


def _facts(metrics: Mapping[str, Any], *, limited: bool = False) -> dict[str, object]:
    from collabdm.counting import counted
    from collabdm.privacy import few_text
    from collabdm.training.recipes import recipe_text

    accuracy, sent = metrics["accuracy"], metrics["bytes"]
    down, up = (list(sent[way].values()) for way in ("down", "up"))
    macro, raw, count = accuracy.get("macro_f1"), metrics.get("raw_bytes"), len(accuracy["networks"])
    return {
        "accuracy": f"{accuracy_text(accuracy['mean'], accuracy['std'], count)} over {counted(count, 'network')}",
        "protocol": recipe_text(metrics.get("protocol", {})),
        "macro-F1": accuracy_text(macro["mean"], macro.get("std", 0.0), count) if macro else "",
        "bytes per client": f"{bytes_text(fmean(down))} down, {bytes_text(fmean(up))} up" if up else "none",
        "seconds": f"{metrics['seconds']['total']:.1f}",
        "more than the data": dearer_text(fmean(up), fmean(raw.values()), limited=limited) if up and raw else "",
        "made up at the start": topped_text(metrics.get("topped_up")),
        "skipped": f"{metrics['skipped']} pairs of seed and class that no client covers"
        if metrics.get("skipped")
        else "",
        "nothing was sent of": "; ".join(
            f"client {client}: class {few_text(few)}, too few" for client, few in metrics.get("left_out", {}).items()
        ),
        "clients missing": metrics.get("missing"),
        "classes missing": metrics.get("missing_classes"),
        "classes not refined": metrics.get("untouched_classes"),
        "kept out of the start set": screened_text(metrics.get("screened")),
        "loss of the set": risen_text(metrics.get("loss")),
        "refused": list(metrics.get("refused", ())),
    }
