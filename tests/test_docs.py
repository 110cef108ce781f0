"""The pages: none is left out of the site, their links lead somewhere, and the commands in them exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml
from click import Context, Group

from collabdm.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md"]


def in_nav(entries: list[object]) -> list[str]:
    found = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += in_nav(value) if isinstance(value, list) else [str(value)]
    return found


def commands(text: str) -> list[list[str]]:
    """The words of every `collabdm ...` line in blocks of code, comments and pipes cut off."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line.split(" | ")[0], comments=True)[1:] for line in lines if line.startswith("collabdm ")]


def test_every_page_is_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(in_nav(nav)) == [page.name for page in PAGES]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert target.startswith("http") or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_commands_and_options_exist(path: Path) -> None:
    root = typer.main.get_command(app)
    for words in commands(path.read_text(encoding="utf-8")):
        command, rest = root, list(words)
        while isinstance(command, Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(Context(command), rest.pop(0))
            assert found is not None, words
            command = found
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= known, (words, given - known)


def test_the_quick_start_has_commands() -> None:
    assert len(commands((ROOT / "docs" / "quickstart.md").read_text())) > 5
