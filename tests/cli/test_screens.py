import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import TINY, run

COMMANDS = (
    *("demo", "simulate", "compare", "schema", "keys", "plan", "contribute", "combine", "open-masks", "distill"),
    *("forget", "evaluate", "train", "detect", "audit", "export", "report", "info"),
)
GROUPED = ("flows to-images", "flows to-table", "flows generate", "experiment list", "experiment run")


@pytest.mark.parametrize("command", ["", *COMMANDS, "flows", "experiment", *GROUPED])
def test_no_screen_has_an_escape_or_a_sentence_that_is_cut(command: str) -> None:
    screen = run(*command.split(), "--help")
    assert screen.code == 0
    assert "\\" not in screen.out
    assert "..." not in screen.out.partition("\nCommands:")[2]
    if command == "plan":
        assert "[required]" in screen.out


def options_of(command: str) -> set[str]:
    words = run(command, "--help").out.split()
    return {word.strip(",.;:") for word in words if word.startswith("--")}


def test_a_plan_shows_only_what_goes_into_it() -> None:
    shown = options_of("plan")
    assert {"--classes", "--shape", "--clients", "--ipc", "--seed", "--max-upload"} <= shown
    assert not shown & {"--repeats", "--device", "--engine", "--beta", "--protocol", "--networks"}


def test_distill_shows_only_what_the_plan_leaves_open() -> None:
    shown = options_of("distill")
    assert {"--add", "--remove", "--deadline", "--device", "--engine", "--set"} <= shown
    assert not shown & {"--ipc", "--seed", "--beta", "--protocol", "--networks", "--partition", "--method", "--label"}


def test_an_option_that_does_nothing_is_told_and_read(tmp_path: Path) -> None:
    outcome = run("plan", *TINY, "--dataset", "mnist", "--repeats", 2, "--out", tmp_path / "plan.json", "--json")
    assert outcome.code == 0
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: --repeats, --device, --engine do nothing here; a plan says what sites are asked")


def completed(words: str) -> list[str]:
    asked = {"_COLLABDM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "collabdm"], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_shell_completes_commands_options_and_values() -> None:
    assert completed("collabdm contr") == ["contribute"]
    assert completed("collabdm plan --clie") == ["--clients"]
    assert completed("collabdm simulate --method collab") == ["collabdm", "collabdm-pae"]
