"""The pages: none is left out of the site, their links lead somewhere, and the commands in them exist."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import typer.main
import yaml

from collabdm.cli import app
from collabdm.data.partition import PartitionKind
from collabdm.methods import METHODS

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
        # Not by click's classes, of which newer versions of typer have their own.
        while (further := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
            assert rest[0] in further, words
            command = further[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= known, (words, given - known)


def test_the_settings_name_every_method_and_partition() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [name for name in (*METHODS, *get_args(PartitionKind)) if f"`{name}`" not in text]
    assert not missing


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "docs" / "quickstart.md"], ids=lambda path: path.name)
def test_examples_import_torch_and_shuffle_the_sorted_set(path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        compile(block, path.name, "exec")
        assert "torch." not in block or "import torch\n" in block
        assert block.count("DataLoader(") == block.count("shuffle=True")


def test_the_quick_start_has_commands() -> None:
    assert len(commands((ROOT / "docs" / "quickstart.md").read_text())) > 5


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
