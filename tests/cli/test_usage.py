"""What is said about a command's words that cannot be understood: one plain line, whole and exact."""

import pytest
import typer

from cli.conftest import assert_refused, run
from collabdm.cli.usage import usage_line

LEVELS = "auto, unit, bytes, signed, normalised"

# What was written; what was got, expected, and how to mend it.
WRONG = {
    "plan": ("no --out", "--out VALUE (the plan file to write)", "add --out VALUE to the command"),
    "combine p --out x": (
        "no FILES",
        "FILES (contributions of several sites)",
        "add FILES to the command",
    ),
    "flows to-images --schema argus --out x": (
        "no IN",
        "IN (a labelled CSV of flows, also packed: .gz, .bz2, .xz, .zip)",
        "add IN to the command",
    ),
    "detect model": ("no FLOWS", "FLOWS (CSV files of flows)", "add FLOWS to the command"),
    "evaluate --levels unti": (
        "unti for --levels",
        f"one of {LEVELS}",
        "did you mean unit?",
    ),
    "evaluate --levels x": ("x for --levels", f"one of {LEVELS}", "choose one of them"),
    "evaluate --levels it's": ("it's for --levels", f"one of {LEVELS}", "choose one of them"),
    "evaluate --count two": ("two for --count", "a whole number", "change the value"),
    "audit x --rounds 1.5": ("1.5 for --rounds", "a whole number", "change the value"),
    "simulate --beta a --out x": ("a for --beta", "a number such as 0.5", "change the value"),
    "distill --min-clients 0 --out x": ("0 for --min-clients", "at least 1", "change the value"),
    "distill --min-clients zwei --out x": ("zwei for --min-clients", "a whole number", "change the value"),
    "detect m f --threshold 1.5": ("1.5 for --threshold", "a number from 0 to 1", "change the value"),
    "plan --out": ("--out without a value", "--out VALUE", "write the value after --out"),
    "plan --force=3 --out x": ("a value for --force", "--force alone", "leave out the = and what follows it"),
    "--version=3": ("a value for --version", "--version alone", "leave out the = and what follows it"),
    "plan a b --out x": (
        "a b as well, which is too many",
        "`collabdm plan [OPTIONS]`",
        "leave that out, or put quotes around a value that has spaces in it",
    ),
    "plan --clints a": (
        "--clints, which is no option of `collabdm plan`",
        "one that `collabdm plan --help` lists",
        "did you mean --clients?",
    ),
    "flows generate --preset x": (
        "--preset, which is no option of `collabdm flows generate`",
        "one that `collabdm flows generate --help` lists",
        "choose one of those, or leave it out",
    ),
    "--fast": (
        "--fast, which is no option of `collabdm`",
        "one that `collabdm --help` lists",
        "choose one of those, or leave it out",
    ),
    "--json info x": (
        "--json, which is no option of `collabdm`",
        "one that `collabdm --help` lists",
        "write --json after the command's name",
    ),
    "simulate -x": (
        "-x, which is no option of `collabdm simulate`",
        "one that `collabdm simulate --help` lists",
        "choose one of those, or leave it out",
    ),
    "experiment rum table2": (
        "rum, which is no command of `collabdm experiment`",
        "one of list, run, status, report",
        "did you mean run?",
    ),
    "flows images": (
        "images, which is no command of `collabdm flows`",
        "one of to-images, generate, to-table",
        "did you mean to-images?",
    ),
    "flows x": (
        "x, which is no command of `collabdm flows`",
        "one of to-images, generate, to-table",
        "`collabdm flows --help` says what each of them does",
    ),
}


@pytest.mark.parametrize("written", WRONG)
def test_a_usage_error_is_one_plain_line(written: str) -> None:
    outcome = run(*written.split())
    assert_refused(outcome)
    got, expected, fix = WRONG[written]
    assert outcome.err == f"error: command line: got {got}; expected {expected}; fix: {fix}\n"


@pytest.mark.parametrize("group", ["flows", "experiment"])
def test_a_group_alone_shows_its_help(group: str) -> None:
    outcome = run(group)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == run(group, "--help").out


def test_another_message_becomes_part_of_the_sentence() -> None:
    line = usage_line(typer.BadParameter("Something Else is not so."))
    assert line == (
        "command line: got invalid value: Something Else is not so; "
        "expected what `collabdm --help` lists; fix: check the spelling"
    )


def test_a_long_word_is_cut() -> None:
    outcome = run("x" * 500)
    assert_refused(outcome, f"got {'x' * 80}..., which is no command")
    assert len(outcome.err) < 500
