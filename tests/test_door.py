"""The public names, and the example that README and the quick start show."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import collabdm
from collabdm.errors import ConfigError, DataError, QuorumError, RenamedWarning

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "round.py"


@pytest.mark.parametrize("name", collabdm.__all__)
def test_each_name_can_be_used_alone_and_says_what_it_is(name: str) -> None:
    told = inspect.getdoc(getattr(collabdm, name))
    assert told
    assert name in dir(collabdm)


def test_importing_the_door_loads_nothing_slow() -> None:
    code = "import collabdm, sys; sys.exit(bool({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def round_in_the_example() -> str:
    """The lines of the round itself, as pages show them."""
    (main,) = [node for node in ast.parse(EXAMPLE.read_text()).body if isinstance(node, ast.FunctionDef)]
    lines = EXAMPLE.read_text().splitlines()[main.body[1].lineno - 1 : main.end_lineno]
    shown = "\n".join(lines[: next(i for i, line in enumerate(lines) if "# What travelled" in line)])
    return "import collabdm\n\n" + textwrap.dedent(shown).strip() + "\n"


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/api.md"])
def test_pages_show_the_round_of_the_example(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- round.py -->\n```python\n(.*?)```\n<!-- /round.py -->", text, re.DOTALL)
    assert block == round_in_the_example()
    assert len([line for line in block.splitlines() if line]) <= 12


def test_the_example_imports_collabdm_and_torch_only() -> None:
    imported = [node for node in ast.walk(ast.parse(EXAMPLE.read_text())) if isinstance(node, ast.Import)]
    assert {alias.name for node in imported for alias in node.names} == {"collabdm", "torch"}
    assert not [node for node in ast.walk(ast.parse(EXAMPLE.read_text())) if isinstance(node, ast.ImportFrom)]


@pytest.mark.slow
def test_the_example_runs() -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=True)
    accuracy = float(re.search(r"([\d.]+)% of 500 test images right", done.stdout)[1])  # type: ignore[index]
    assert accuracy > 75


def test_the_verbs_compose_and_repeat(tmp_path: Path) -> None:
    data = collabdm.load_dataset("digits")
    sites = collabdm.partition(data.train, 3, kind="iid", seed=4)
    assert sum(map(len, sites.values())) == len(data.train)
    config = collabdm.Config.model_validate(
        {
            "ipc": 1,
            "plan": {"seeds": 3, "batch": 8, "network": {"name": "convnet", "width": 4, "depth": 1}},
            "local": {"iterations": 3},
        }
    )
    plan = collabdm.make_plan(config, clients=sites)
    answers = [collabdm.contribute(plan, name, samples) for name, samples in sites.items()]
    through = [collabdm.decode_contribution(collabdm.encode_contribution(answer, plan), plan) for answer in answers]
    assert collabdm.decode_plan(collabdm.encode_plan(plan)) == plan
    one, two = (collabdm.distill(plan, order, config.server) for order in (through, through[::-1]))
    assert one.to_bytes() == two.to_bytes()
    assert collabdm.aggregate(plan, through).values.shape == (3, 10, 1, 4 * 4 * 4)
    one.save(tmp_path / "set")
    assert collabdm.load(tmp_path / "set").to_bytes() == one.to_bytes()
    result = collabdm.evaluate(one, data.test, networks=["convnet"], recipe=_quick())
    assert result.accuracy == pytest.approx(sum(network.accuracy for network in result.networks) / 2)
    assert result == collabdm.evaluate(one, data.test, networks=["convnet"], recipe=_quick())
    assert set(result.per_class) == set(data.test.classes)


def test_own_data_need_no_preset() -> None:
    values = np.linspace(0, 1, 12 * 3 * 8 * 12, dtype=np.float32).reshape(12, 3, 8, 12)
    own = collabdm.Samples(values=values, labels=np.arange(12) % 2, classes=("cat", "dog"))
    sites = {"a": own.take(range(8)), "b": own.take(range(8, 12))}
    config = collabdm.Config.model_validate({"ipc": 1, "plan": {"seeds": 2, "batch": 4, "network": {"width": 4}}})
    asked: list[dict[str, Any]] = [{"clients": sites}, {"clients": ["a", "b"], "preset": own}]
    for given in asked:
        plan = collabdm.make_plan(config, **given)
        assert (plan.classes, plan.sample.shape, plan.clients) == (("cat", "dog"), (3, 8, 12), ("a", "b"))
    digits = collabdm.load_dataset("digits")
    by_preset = collabdm.make_plan(config, clients=["a"], preset=digits.preset)
    assert collabdm.make_plan(config, clients=["a"], preset=digits) == by_preset
    assert collabdm.make_plan(config, clients={"a": digits.train}) == by_preset


def test_settings_are_checked_in_python_as_anywhere() -> None:
    with pytest.raises(ConfigError, match=r"setting plan.tile: got an unknown key.*fix: did you mean plan\.tiles"):
        collabdm.Config(plan={"tile": 2})  # pyright: ignore
    with pytest.raises(ConfigError, match=r"setting ipc: got 0; expected at least 1"):
        collabdm.Config(ipc=0)
    with pytest.warns(RenamedWarning, match=r"plan.pae is called plan.tiles"):
        assert collabdm.Config(plan={"pae": 3}).tiles == 3  # pyright: ignore
    with pytest.raises(ConfigError, match=r"plan.pae: got also plan.tiles"):
        collabdm.load_config(settings=["plan.tiles=4", "plan.pae=2"])


def test_what_cannot_be_is_said_in_one_line() -> None:
    data = collabdm.load_dataset("digits")
    plan = collabdm.make_plan(collabdm.Config(), clients=["a"])
    with pytest.raises(QuorumError, match=r"got none; expected at least one; fix"):
        collabdm.distill(plan, [])
    with pytest.raises(ConfigError, match=r"got nowhere; expected one of mnist"):
        collabdm.make_plan(collabdm.Config(dataset="nowhere"), clients=["a"])
    for several in ("north", 3, None):
        with pytest.raises(ConfigError, match=r"clients of a plan: got .*expected several names"):
            collabdm.make_plan(collabdm.Config(), clients=several)  # pyright: ignore
    with pytest.raises(ConfigError, match=r"facts of the data: got str"):
        collabdm.make_plan(collabdm.Config(), clients=["a"], preset="digits")  # pyright: ignore
    with pytest.raises(ConfigError, match=r"client names: got 'north'"):
        collabdm.partition(data.train, "north")
    with pytest.raises(ConfigError, match=r"methods to compare: got the text 'random-real'"):
        collabdm.compare(collabdm.Config(), "random-real", "nowhere")
    with pytest.raises(DataError, match=r"at most 2"):
        collabdm.partition(data.train.take([0, 1]), 3)


def _quick():  # type: ignore[no-untyped-def]
    from collabdm.training.recipes import RECIPES

    return RECIPES["fast"].model_copy(update={"epochs": 2, "count": 2})


def _judged():  # type: ignore[no-untyped-def]
    """A set of untrained samples, its test data, and the quickest recipe."""
    data = collabdm.load_dataset("digits")
    config = collabdm.Config.model_validate({"ipc": 1, "plan": {"seeds": 0}, "local": {"iterations": 0}})
    plan = collabdm.make_plan(config, clients=["a"])
    made = collabdm.distill(plan, [collabdm.contribute(plan, "a", data.train)])
    return made, data.test.take(range(40)), _quick().model_copy(update={"epochs": 1, "count": 1})


def test_networks_are_named_alone_or_as_tables() -> None:
    made, test, recipe = _judged()
    table = {"name": "convnet", "width": 8, "depth": 1}
    for networks in ([table], table, "convnet"):
        (found,) = collabdm.evaluate(made, test, networks=networks, recipe=recipe).networks
        assert 0 <= found.accuracy <= 1
    for networks, told in (
        ([{"name": "convnet", "width": 9}], "network: width: got 9; expected .*multiple of 4"),
        ([{"name": "nowhere"}], "network: name: got nowhere; expected one of convnet"),
        ("nowhere", "network: got nowhere; expected one of convnet"),
        ([{"size": 9}], "network: size: got 9"),
        ([7], "network: got 7"),
        (7, "networks: got 7; expected a list"),
    ):
        with pytest.raises(ConfigError, match=told):
            collabdm.evaluate(made, test, networks=networks, recipe=recipe)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"recipe\.epochs: got 0"):
        collabdm.evaluate(made, test, recipe=recipe.model_copy(update={"epochs": 0}))
    with pytest.raises(ConfigError, match="recipe: got 7; expected one of paper, fast"):
        collabdm.evaluate(made, test, recipe=7)  # type: ignore[arg-type]


def test_a_network_in_the_facts_that_is_not_known_is_told() -> None:
    made, test, recipe = _judged()
    told: list[str | None] = []
    for facts in ({"network": {"name": "later"}}, {"network": {"name": "convnet"}}, {}):
        collabdm.evaluate(
            replace(made, facts=facts), test, recipe=recipe, report=lambda event: told.append(event.message)
        )
    assert [message for message in told if message and "facts" in message] == [
        'the set\'s facts name a network that is not known ({"name": "later"}): '
        "judged by convnet width=128 depth=2 norm=instance activation=relu pooling=avg"
    ]


def test_test_data_that_no_pixel_may_have_are_refused() -> None:
    made, test, recipe = _judged()
    for value, told in ((np.nan, "row 0: got NaN"), (7.0, "floats from 0 to 7")):
        values = np.zeros(test.values.shape, np.float32)
        values[0, 0, 0, 0] = value
        with pytest.raises(DataError, match=told):
            collabdm.evaluate(made, replace(test, values=values), recipe=recipe)
