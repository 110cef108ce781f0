"""`collabdm schema`, and what is made of the file that it writes."""

import shlex
from pathlib import Path

import pytest

from cli.conftest import assert_refused, run

ROWS = "a,b,label\n" + "".join(
    f"{n % 7},{n % 3},{('no', 'yes, sure')[n % 2]}\n".replace("yes, sure", '"yes, sure"') for n in range(20)
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "north.csv").write_text(ROWS)
    return tmp_path / "north.csv"


def test_the_next_step_that_it_names_makes_a_plan_of_these_classes(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "schema.json"
    (line,) = (line for line in run("schema", table, "--out", out).out.splitlines() if line.startswith("next, "))
    command, *step = shlex.split(line[line.index("collabdm plan") :])
    assert command == "collabdm"
    step = [str(tmp_path / "plan.json") if word == "plan.json" else word.replace("NAME,NAME", "x,y") for word in step]
    assert run(*step).code == 0
    assert run("info", tmp_path / "plan.json", "--json").json["classes"] == ["no", "yes, sure"]


def test_info_says_what_a_schema_declares(table: Path, tmp_path: Path) -> None:
    run("schema", table, "--out", tmp_path / "schema.json")
    facts = run("info", tmp_path / "schema.json", "--json").json
    assert (facts["kind"], facts["label"], facts["numeric"], facts["columns"]) == (
        "schema of a table",
        "label",
        2,
        ["a", "b"],
    )


def test_a_plan_of_one_class_is_told_and_one_with_a_class_twice_refused(table: Path, tmp_path: Path) -> None:
    run("schema", table, "--out", tmp_path / "schema.json")
    asked = ("plan", "--schema", tmp_path / "schema.json", "--clients", "x,y", "--out", tmp_path / "plan.json")
    alone = run(*asked, "--classes", "yes")
    assert alone.code == 0
    assert "the plan has one class alone, yes, so nothing can be told apart" in alone.err
    twice = run(*asked, "--classes", "yes,no,yes", "--force")
    assert_refused(
        twice, "plan: got settings that do not go together; expected class names must be distinct, and yes is"
    )
