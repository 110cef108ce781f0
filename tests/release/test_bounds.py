"""`constraints-oldest.txt` pins what pyproject.toml calls the lowest versions, and `constraints.txt` what it allows."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The extras that `make test-oldest` installs; Flower's allows a single minor version, which `make test` has.
EXTRAS = ("privacy", "series", "slurm")
ASKED = [
    Requirement(line)
    for line in (
        *PROJECT["dependencies"],
        *(line for name in EXTRAS for line in PROJECT["optional-dependencies"][name]),
    )
]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(version for _, _, version in pairs)
    return {package: version for package, _, version in pairs}


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_each_lower_bound_is_what_is_tried(asked: Requirement) -> None:
    """A bound of 1.11 may be tried with 1.11.1, and not with 1.12."""
    (lowest,) = [each.version for each in asked.specifier if each.operator == ">="]
    tried = pins("constraints-oldest.txt")[asked.name]
    assert Version(tried).release[: len(Version(lowest).release)] == Version(lowest).release


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_the_pinned_version_is_allowed(asked: Requirement) -> None:
    pinned = pins("constraints.txt")
    if asked.name != "aeon":  # Read in tests only where it is installed.
        assert asked.specifier.contains(pinned[asked.name])


def test_the_tests_run_on_the_same_tools() -> None:
    """One version of pytest and its friends, so that a failure speaks of the library's dependencies."""
    oldest, pinned = pins("constraints-oldest.txt"), pins("constraints.txt")
    tools = {Requirement(line).name for line in PROJECT["optional-dependencies"]["test"]} - {"pyyaml"}
    assert {name: oldest[name] for name in tools} == {name: pinned[name] for name in tools}


def test_every_interpreter_named_is_allowed() -> None:
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if line.startswith("Programming Language")]
    minors = [version for version in named if version.startswith("3.")]
    assert minors == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={minors[0]}"


def test_the_version_is_the_same_everywhere() -> None:
    app = tomllib.loads((ROOT / "examples" / "flower" / "pyproject.toml").read_text())["project"]
    cited = [line for line in (ROOT / "CITATION.cff").read_text().splitlines() if line.startswith("version: ")]
    assert cited == [f"version: {PROJECT['version']}"]
    assert app["version"] == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()
