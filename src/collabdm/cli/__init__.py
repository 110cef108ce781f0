"""The command line: parse, call, print. `main` is the entry point `collabdm`."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer

from collabdm.cli.audit import audit
from collabdm.cli.contribute import contribute
from collabdm.cli.demo import demo
from collabdm.cli.detect import detect
from collabdm.cli.distill import distill
from collabdm.cli.experiment import experiment
from collabdm.cli.export import export
from collabdm.cli.flows import flows
from collabdm.cli.flows_table import to_table
from collabdm.cli.info import info
from collabdm.cli.masks import combine, keys, open_masks
from collabdm.cli.membership import forget
from collabdm.cli.output import one_line, say
from collabdm.cli.plan import plan
from collabdm.cli.product import evaluate
from collabdm.cli.report import report
from collabdm.cli.schema import schema
from collabdm.cli.screens import CommandScreen, GroupScreen
from collabdm.cli.simulate import compare, simulate
from collabdm.cli.train import train
from collabdm.cli.usage import UsageError, usage_line
from collabdm.errors import CollabDMError, DataWarning, RenamedWarning, explain

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(name="collabdm", cls=GroupScreen, pretty_exceptions_enable=False, rich_markup_mode=None)
for command in (
    *(demo, simulate, compare, schema, keys, plan, contribute, combine, open_masks, distill, forget),
    *(evaluate, train, detect, audit, export, report, info),
):
    app.command(cls=CommandScreen)(command)
flows.command("to-table", cls=CommandScreen)(to_table)
app.add_typer(flows, name="flows")
app.add_typer(experiment, name="experiment")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code.

    0; 2 for bad input; 3 for too few contributions or an alarm of `detect`; 130 for Ctrl-C.

    Bad input, and what the machine refuses, is told in one line on standard error; so is every old name of a setting or
    a plan's key, and what was passed over in the data. Anything unforeseen keeps its traceback: it is a bug.
    """
    try:
        with _warnings_told():
            code = app(args=arguments, prog_name="collabdm", standalone_mode=False) or 0
        sys.stdout.flush()
    except CollabDMError as error:
        _leave(str(error), error.exit_code)
    except UsageError as error:
        _leave(usage_line(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read what is printed has stopped (`| head`); what Python still has to flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except OSError as error:
        got = error.strerror or type(error).__name__
        fix = "check the path, who may write there, and the free space"
        _leave(explain(str(error.filename or "file system"), got=got, expected="files to read and write", fix=fix), 2)
    except MemoryError:
        fix = "free some, or use smaller settings (--ipc, plan.batch, engine.processes)"
        _leave(explain("memory", got="none left", expected="enough for this command", fix=fix), 2)
    except RuntimeError as error:
        # Torch's, known by its name: importing it would make `--help` slow.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        fix = "free some, start anew with OMP_NUM_THREADS=2 (then one process uses the GPU), or use --device cpu"
        _leave(explain("GPU memory", got=str(error).split(". ")[0], expected="about 5 GB for each process", fix=fix), 2)
    # Newer releases of typer turn the key into this code themselves.
    if code == INTERRUPTED:
        _leave(f"interrupted; {_after_interruption(sys.argv[1:] if arguments is None else arguments)}", code)
    sys.exit(code)


@app.callback(
    invoke_without_command=True,
    epilog="Start with: collabdm simulate --dataset digits --method collabdm --ipc 2 --out runs/first",
)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Make one small training set, in one round, from data that stay at several sites.

    A server makes a plan, every site (a client) answers it with one small file, and from these files the server distils
    a few samples per class, on which anyone can train a network.
    """
    if version:
        say(f"collabdm {metadata.version('collabdm')}")
    elif context.invoked_subcommand is None:
        say(context.get_help())


def _after_interruption(arguments: Sequence[str]) -> str:
    """How the command that was stopped goes on, which is not the same for all."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command == "distill" and any(word.startswith(("--add", "--remove")) for word in arguments):
        return "distill --resume with the same --out, and nothing else, goes on from here"
    if command in ("demo", "simulate", "compare", "distill"):
        return "the same command with --resume goes on from here"
    if command in ("forget", "experiment", "audit"):
        return "the same command goes on from here"
    return "nothing was kept: the same command begins anew"


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Tell our own warnings in one line on standard error each, the same words once; other warnings as ever."""
    told: set[str] = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *others: Any, **named: Any) -> None:
            line = one_line(str(message))
            if not issubclass(category, (RenamedWarning, DataWarning)):
                usual(message, category, *others, **named)
            elif line not in told:
                told.add(line)
                say(f"warning: {line}", error=True)

        warnings.simplefilter("always", RenamedWarning)
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = tell
        yield


def _leave(message: str, code: int) -> NoReturn:
    say(f"error: {one_line(message)}", error=True)
    sys.exit(code)
