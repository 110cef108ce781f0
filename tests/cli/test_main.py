import subprocess
import sys
from importlib import metadata

import pytest

from cli.conftest import assert_refused, run

COMMANDS = ("simulate", "compare", "plan", "contribute", "distill", "evaluate", "export", "info")


def test_help_and_version_need_no_heavy_library() -> None:
    code = "import sys, collabdm.cli; print({'torch', 'datasets', 'numpy', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_version() -> None:
    outcome = run("--version")
    assert (outcome.code, outcome.out) == (0, f"collabdm {metadata.version('collabdm')}\n")


def test_every_command_is_listed_and_helps() -> None:
    listing = run("--help").out
    assert run().out == listing
    for command in COMMANDS:
        assert f"\n  {command} " in listing
        outcome = run(command, "--help")
        assert outcome.code == 0
        assert f"Usage: collabdm {command}" in outcome.out
        # A short description never ends in the middle.
        assert "..." not in next(line for line in listing.splitlines() if line.startswith(f"  {command} "))


@pytest.mark.parametrize(
    "arguments", [["simulat"], ["--fast"], ["plan"], ["info"], ["export", "x", "--format", "gif", "--out", "y"]]
)
def test_usage_errors_are_one_line(arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert_refused(outcome, "command line")
    assert len(outcome.err.splitlines()) == 1
