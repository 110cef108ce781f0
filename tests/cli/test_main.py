import json
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import pytest

from cli.conftest import PLANNED, assert_refused, run
from collabdm.errors import RenamedWarning
from collabdm.protocol import decode_plan

LEFT = Path(__file__).parents[1] / "fixtures" / "version_1"
TILES = "warning: the setting plan.pae is called plan.tiles now; it is read as that"
PARTICIPATION = "warning: the setting partition.participation is called plan.participation now; it is read as that"
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


def test_an_old_setting_is_told_in_one_line_and_read(tmp_path: Path) -> None:
    outcome = run(
        "plan", *PLANNED, "--dataset", "mnist", "--set", "plan.pae=3", "--out", tmp_path / "plan.json", "--json"
    )
    assert (outcome.code, outcome.err) == (0, f"{TILES}\n")
    assert outcome.json["file"] == str(tmp_path / "plan.json")
    assert decode_plan((tmp_path / "plan.json").read_bytes()).tiles == 3


def test_an_old_key_of_a_file_is_told_in_one_line_and_read(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text("[partition]\nparticipation = 0.5\n")
    asked = (
        "plan",
        *PLANNED,
        "--dataset",
        "digits",
        "--config",
        tmp_path / "old.toml",
        "--out",
        tmp_path / "plan.json",
    )
    outcome = run(*asked)
    assert (outcome.code, outcome.err) == (0, f"{PARTICIPATION}\n")
    assert decode_plan((tmp_path / "plan.json").read_bytes()).participation == 0.5


def test_each_message_is_told_once_a_command(tmp_path: Path) -> None:
    """Though a folder's own settings and the file's say the same, and the option once more."""
    settings = ("--config", LEFT / "settings" / "old_keys.toml", "--set", "plan.pae=2", "--method", "random-real-pae")
    for flags in ((), ("--resume",), ("--force",)):
        outcome = run("simulate", *settings, *flags, "--out", tmp_path / "run", "--quiet")
        assert (outcome.code, outcome.err.splitlines()) == (0, [TILES, PARTICIPATION])
    (tmp_path / "run" / "config.toml").write_bytes((LEFT / "settings" / "old_keys.toml").read_bytes())
    assert_refused(run("simulate", *settings, "--resume", "--out", tmp_path / "run"), "other settings")


def test_an_old_plan_is_told_in_one_line_and_read(tmp_path: Path) -> None:
    plan = LEFT / "plans" / "factor_2.json"
    line = f"warning: plan {plan}: pae is called tiles now, and normalisation is part of sample; the plan is read as it"
    outcome = run("info", plan, "--json")
    assert (outcome.code, outcome.json["tiles"], outcome.err) == (0, 2, f"{line} was meant\n")
    (tmp_path / "plan.json").write_bytes(plan.read_bytes())
    outcome = run("info", tmp_path / "plan.json")
    assert outcome.err.splitlines() == [f"{line} was meant".replace(str(plan), str(tmp_path / "plan.json"))]
    assert "warning" not in outcome.out


def test_new_names_are_told_nothing(tmp_path: Path) -> None:
    settings = ("--set", "plan.tiles=2", "--set", "plan.participation=0.5")
    assert run("plan", *PLANNED, "--dataset", "digits", *settings, "--out", tmp_path / "plan.json").err == ""
    assert run("info", tmp_path / "plan.json").err == ""


def test_both_names_are_one_too_many(tmp_path: Path) -> None:
    settings = ("--set", "plan={pae=2,tiles=2}", "--dataset", "digits")
    assert_refused(
        run("plan", *PLANNED, *settings, "--out", tmp_path / "plan.json"), "setting plan.pae: got also plan.tiles"
    )


def test_what_is_told_is_one_line_without_control_characters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def told(path: Path) -> dict[str, str]:
        for _ in range(2):
            warnings.warn(RenamedWarning("red \x1b[31m\nand another line"), stacklevel=1)
        return {"kind": "nothing"}

    monkeypatch.setattr(sys.modules["collabdm.cli.info"], "_described", told)
    for _ in range(2):  # once in every command
        assert run("info", tmp_path).err == "warning: red ?[31m and another line\n"


def test_other_warnings_are_what_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def warned(path: Path) -> dict[str, str]:
        warnings.warn("something else", UserWarning, stacklevel=1)
        return {"kind": "nothing"}

    monkeypatch.setattr(sys.modules["collabdm.cli.info"], "_described", warned)
    with pytest.warns(UserWarning, match="something else"):
        assert run("info", tmp_path).err == ""


def test_a_process_of_its_own_tells_it_too(tmp_path: Path) -> None:
    command = "import sys; from collabdm.cli import main; main(sys.argv[1:])"
    asked = [
        "plan",
        *PLANNED,
        "--dataset",
        "digits",
        "--set",
        "plan.pae=2",
        "--out",
        str(tmp_path / "plan.json"),
        "--json",
    ]
    done = subprocess.run([sys.executable, "-c", command, *asked], capture_output=True, text=True, check=True)
    assert done.stderr == f"{TILES}\n"
    assert json.loads(done.stdout)["seeds"] == 3


def test_the_package_is_the_command_too() -> None:
    done = subprocess.run([sys.executable, "-m", "collabdm", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("collabdm ")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["export", "x", "--format", "nzp", "--out", "y"], "npz"),
        (["simulate", "--set", "plan.augment=colr", "--out", "x"], "colour"),
        (["simulate", "--set", "local.method=kmean", "--out", "x"], "kmeans"),
        (["simulate", "--method", "colabdm", "--out", "x"], "collabdm"),
        (["simulate", "--set", "plan.seds=3", "--out", "x"], "plan.seeds"),
        (["simulate", "--preset", "papr", "--out", "x"], "paper"),
        (["simulat"], "simulate"),
        (["experiment", "run", "tabl2", "--out", "x"], "table2"),
    ],
)
def test_what_is_nearly_a_name_is_told(arguments: list[str], meant: str, tmp_path: Path) -> None:
    outcome = run(*[tmp_path / word if word in ("x", "y") else word for word in arguments])
    assert_refused(outcome, f"fix: did you mean {meant}?")
