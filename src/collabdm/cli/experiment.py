"""`collabdm experiment`: the paper's tables and figures, one command each."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from collabdm.cli.options import Json, Quiet, Real, seconds_of
from collabdm.cli.output import one_line, print_facts, print_json, print_table, say
from collabdm.cli.progress import progress
from collabdm.cli.screens import CommandScreen, GroupScreen
from collabdm.errors import ConfigError, explain

if TYPE_CHECKING:
    from collabdm.experiments import Experiment
    from collabdm.experiments.budget import Budget
    from collabdm.experiments.grid import Grid
    from collabdm.experiments.runner import Outcome
    from collabdm.experiments.status import Status
    from collabdm.progress import Report

__all__ = ["experiment", "list_experiments", "report", "run", "status"]

SOME_FAILED = 2
MOST_NAMED = 5
DEFAULT_PRESET = "cpu"

experiment = typer.Typer(
    cls=GroupScreen,
    help="The paper's tables and figures, resumable: list, run, status, report.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, Argument(metavar="NAME", help="An experiment that `experiment list` names.", show_default=False)]
Out = Annotated[Path, Option(help="The experiment's folder.")]


@experiment.command("list", cls=CommandScreen)
def list_experiments(
    name: Annotated[
        str | None, Argument(metavar="[NAME]", help="The experiment whose cells to list.", show_default=False)
    ] = None,
    preset: Annotated[str, Option(help="With NAME: the scale, as for `run`.")] = DEFAULT_PRESET,
    json: Json = False,
) -> None:
    """What there is to run, and at which scales; with NAME the cells of that experiment, most informative first."""
    from collabdm.experiments import EXPERIMENTS, SCALES, experiment_named, scale_named

    if name is not None:
        cells = sorted(experiment_named(name).cells(scale_named(preset)), key=lambda cell: cell.rank)
        if json:
            rows = [{"cell": one.name, "dataset": one.dataset, "paper": one.paper, "note": one.note} for one in cells]
            print_json({"experiment": name, "preset": preset, "cells": rows})
            return
        for one in cells:
            say(one.name)
        return
    counts = {name: {scale: len(one.cells(SCALES[scale])) for scale in SCALES} for name, one in EXPERIMENTS.items()}
    if json:
        found = [{"name": name, "summary": one.summary, "cells": counts[name]} for name, one in EXPERIMENTS.items()]
        print_json({"experiments": found, "presets": {name: scale.summary for name, scale in SCALES.items()}})
        return
    print_facts(
        "experiments (cells; at smoke)",
        {
            name: f"{one.summary} ({counts[name]['paper']}; {counts[name]['smoke']})"
            for name, one in EXPERIMENTS.items()
        },
    )
    print_facts("presets", {name: scale.summary for name, scale in SCALES.items()})


@experiment.command("run", cls=CommandScreen)
def run(
    name: Name,
    out: Out,
    preset: Annotated[str | None, Option(help="Scale: paper, best, cpu (default), cpu-best, smoke.")] = None,
    data: Annotated[list[str] | None, Option(metavar="NAME=PATH", help="Where a data set lies; repeatable.")] = None,
    only: Annotated[list[str] | None, Option(metavar="PATTERN", help="Cells, such as 'mnist-*'; repeatable.")] = None,
    budget: Annotated[str | None, Option(help="Stop after a time such as 30m or 2h, inside a cell.")] = None,
    settings: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="One setting; repeatable.")] = None,
    executor: Annotated[str, Option(help="Where cells run: local (here), ray or slurm.")] = "local",
    resource: Annotated[
        list[str] | None, Option(metavar="KEY=VALUE", help="What a cell gets of ray or slurm; repeatable.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Run what is not finished, the most informative cells first, and print the table.

    An interrupted run goes on where it was: repeat the command. --preset and --set are remembered. Repeated while it
    runs, here or on a machine that sees the same folder, it works on the cells that nobody is at.
    """
    from collabdm.engine import tune_allocator
    from collabdm.experiments import experiment_named, scale_named
    from collabdm.experiments.budget import Budget
    from collabdm.experiments.grid import Grid
    from collabdm.experiments.records import begun_with

    chosen, begun = experiment_named(name), begun_with(out) or {}
    seconds = None if budget is None else seconds_of(budget, "--budget")
    grid = Grid(
        experiment=chosen,
        scale=scale_named(preset or begun.get("preset", DEFAULT_PRESET)),
        folder=out,
        settings=begun.get("settings", []) if settings is None else settings,
        data=_given(data or []),
    )
    tune_allocator()
    with progress(quiet=quiet) as report:
        outcome = _outcome(
            grid, executor, resource or [], only=only or [], budget=Budget(seconds=seconds), report=report
        )
    _print_result(chosen, out, outcome)
    if outcome.failed:
        raise typer.Exit(SOME_FAILED)


@experiment.command("status", cls=CommandScreen)
def status(name: Name, out: Out, json: Json = False) -> None:
    """Cells finished, failed and left, the time spent, and an estimate of what remains."""
    from collabdm.experiments import experiment_named
    from collabdm.experiments.status import status_of

    found = status_of(experiment_named(name), out)
    if json:
        print_json(_status_json(found))
        return
    print_facts(f"{name}, preset {found.scale.name}: {out}", _summary(found))
    rows = [
        (one.cell.name, one.state, _hours(one.spent), _hours(one.remaining), one.why)
        for one in found.cells
        if one.state != "left" or len(found.cells) <= 100
    ]
    print_table(("cell", "state", "spent", "remaining", "why"), rows)
    if len(rows) < len(found.cells):
        hidden = len(found.cells) - len(rows)
        say(f"\n{hidden} left: collabdm experiment list {name} --preset {found.scale.name} names them")


@experiment.command("report", cls=CommandScreen)
def report(name: Name, out: Out, real: Real = True) -> None:
    """Write `report.html` into the experiment's folder, and print its table."""
    from collabdm.experiments import experiment_named
    from collabdm.experiments.status import status_of
    from collabdm.report import experiment_report
    from collabdm.storage.files import write_atomically
    from collabdm.storage.locks import door

    chosen = experiment_named(name)
    found = status_of(chosen, out)
    remaining = len(found.cells) - found.count("finished")
    page = experiment_report(
        name,
        chosen.summary,
        found.records,
        remaining,
        measured=chosen.table(found.records) if any("measured" in one for one in found.records) else "",
        settings=found.settings,
        folder=out,
        real=real,
    )
    with door(out):
        write_atomically(out / "report.html", page)
    say(_table(chosen, found))
    say(f"\n{out / 'report.html'}")


def _outcome(
    grid: "Grid", executor: str, asked: list[str], *, only: list[str], budget: "Budget", report: "Report"
) -> "Outcome":
    from collabdm.experiments import run_experiment
    from collabdm.experiments.cluster.spread import resources, spread_experiment

    if executor != "local":
        return spread_experiment(grid, executor, asked=resources(asked), only=only, budget=budget, report=report)
    if asked:
        fix = "leave it out, or set OMP_NUM_THREADS"
        raise ConfigError(explain("--resource", got=asked[0], expected="--executor ray or slurm with it", fix=fix))
    return run_experiment(
        grid.experiment,
        grid.scale,
        grid.folder,
        settings=grid.settings,
        data=grid.data,
        only=only,
        budget=budget,
        report=report,
    )


def _print_result(chosen: "Experiment", out: Path, outcome: "Outcome") -> None:
    from collabdm.experiments.status import status_of
    from collabdm.storage.files import write_atomically
    from collabdm.storage.locks import door

    # Of two processes that end at once, the one that writes last has seen the records of both.
    with door(out):
        found = status_of(chosen, out)
        table = _table(chosen, found)
        write_atomically(out / "table.md", table.encode() + b"\n")
    say(table)
    for cell, why in outcome.failed.items():
        say(f"failed: {cell}: {one_line(why)}", error=True)
    if outcome.stopped is not None:
        say(f"the budget is spent, in {outcome.stopped}: repeat the command to go on there", error=True)
    if outcome.taken:
        others = f" and {len(outcome.taken) - MOST_NAMED} more" if len(outcome.taken) > MOST_NAMED else ""
        named = f"{', '.join(outcome.taken[:MOST_NAMED])}{others}"
        say(f"left to other processes, which are at work there: {named}", error=True)
    say()
    print_facts(str(out), _summary(found))


def _table(chosen: "Experiment", found: "Status") -> str:
    from collabdm.experiments.tables import recipes_line

    over = f"Settings over the preset: {', '.join(found.settings)}." if found.settings else ""
    return "\n\n".join(filter(None, (chosen.table(found.records), recipes_line(found.records), over)))


def _summary(found: "Status") -> dict[str, object]:
    states = ("finished", "failed", "begun", "left")
    return {
        "cells": ", ".join(f"{count} {state}" for state in states if (count := found.count(state))),
        "settings": " ".join(found.settings),
        "spent": _hours(found.spent),
        # What rivals do by themselves is not counted before one of them has been measured.
        "remaining, at least" if found.uncounted else "remaining, about": _hours(found.remaining),
    }


def _status_json(found: "Status") -> Mapping[str, object]:
    return {
        "experiment": found.experiment,
        "preset": found.scale.name,
        "settings": list(found.settings),
        **{state: found.count(state) for state in ("finished", "failed", "begun", "left")},
        "spent": found.spent,
        "remaining": found.remaining,
        "uncounted": list(found.uncounted),
        "cells": [
            {"cell": one.cell.name, "state": one.state, "spent": one.spent, "remaining": one.remaining, "why": one.why}
            for one in found.cells
        ],
    }


def _hours(seconds: float) -> str:
    if not seconds:
        return ""
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def _given(texts: list[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            expected = "NAME=PATH, such as cifar10=data/cifar10"
            raise ConfigError(explain("--data", got=text[:200], expected=expected, fix="give it so"))
        given[name] = path
    return given
