"""The container file of a site, read: nobody's rights, nothing secret, and only what is there. No container is run."""

import re
import shlex
import tomllib
from pathlib import Path

import typer.main

from collabdm.cli import app

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "deploy" / "Containerfile"
LINES = [
    line.split(maxsplit=1)
    for line in FILE.read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]


def of(kind: str) -> list[str]:
    return [rest for word, rest in LINES if word == kind]


def runs_in_docs() -> list[list[str]]:
    """The words of every `docker run` of the page, after what docker is asked for: the image and our command."""
    text = (ROOT / "docs" / "deploy.md").read_text().replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^docker run .*$", text, re.MULTILINE)]


def test_the_last_user_is_a_number_and_not_root() -> None:
    """A number can be held against the rights of mounted folders, and checked by whoever forbids root."""
    (user,) = of("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    words = [word for word, _ in LINES]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))


def test_nothing_secret_is_built_in_and_nothing_is_fetched_by_address() -> None:
    given = " ".join([*of("ENV"), *of("ARG")])
    assert not re.search(r"(?i)key|token|secret|passw|credential", given)
    assert not of("ADD")
    assert not [step for step in of("RUN") if "curl" in step or "wget" in step]


def test_what_is_copied_is_in_the_checkout_and_let_through() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [word for step in of("COPY") if "--from" not in step for word in step.split()[:-1]]
    assert sources
    assert set(sources) == let_through
    assert all((ROOT / source).exists() for source in sources)


def test_what_it_starts_is_our_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert of("ENTRYPOINT") == ['["collabdm"]']
    assert "collabdm" in scripts
    assert "python:3.11-slim" in of("FROM")[-1]


def test_the_page_runs_it_without_rights_and_with_commands_that_exist() -> None:
    commands = getattr(typer.main.get_command(app), "commands", {})
    found = runs_in_docs()
    assert found
    for words in found:
        before, after = words[: words.index("collabdm-site")], words[words.index("collabdm-site") + 1 :]
        assert {"--read-only", "--cap-drop", "ALL", "--network", "none", "no-new-privileges"} <= set(before)
        # Data are mounted to be read only.
        assert [word for word in before if word.endswith(":/data:ro")]
        known = {option for parameter in commands[after[0]].params for option in parameter.opts}
        assert {word for word in after if word.startswith("--")} <= known
