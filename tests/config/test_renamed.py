"""Settings under the names that they had: read as those of today, each with one warning."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collabdm.config import Config, load_config, make_config
from collabdm.config.renamed import RENAMED, with_new_names
from collabdm.errors import ConfigError, RenamedWarning

# Neither is the default.
OLD = {"plan.pae": 3, "partition.participation": 0.4}


def warned(load: Callable[[], Config]) -> tuple[Config, list[str]]:
    """What was loaded, and every warning; all must say that a setting was renamed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = load()
    assert all(issubclass(one.category, RenamedWarning) for one in caught)
    return config, [str(one.message) for one in caught]


def value(config: Config, key: str) -> Any:
    table, name = key.split(".")
    return getattr(getattr(config, table), name)


def toml(path: Path, *settings: str) -> Path:
    """A file with a line for each setting, in the table of its name."""
    path.write_text("".join(f"[{table}]\n{rest}\n" for table, rest in (one.split(".", 1) for one in settings)))
    return path


def test_every_old_name_is_tested() -> None:
    assert set(OLD) == set(RENAMED)


@pytest.mark.parametrize("old", OLD)
def test_an_old_name_is_read_wherever_it_stands(old: str, tmp_path: Path) -> None:
    setting, new = f"{old}={OLD[old]}", RENAMED[old]
    table, name = old.split(".")
    for load in (
        lambda: load_config(file=toml(tmp_path / "old.toml", setting)),
        lambda: load_config(settings=[setting]),
        lambda: load_config(options={old: OLD[old]}),
        lambda: make_config({table: {name: OLD[old]}}),
    ):
        config, told = warned(load)
        assert value(config, new) == OLD[old]
        assert config == load_config(settings=[f"{new}={OLD[old]}"])
        assert told == [f"the setting {old} is called {new} now; it is read as that"]


@pytest.mark.parametrize("old", OLD)
def test_the_higher_layer_wins_under_whichever_name(old: str, tmp_path: Path) -> None:
    new = RENAMED[old]
    for below, above, count in ((old, old, 2), (old, new, 1), (new, old, 1)):
        file = toml(tmp_path / "below.toml", f"{below}=1")
        config, told = warned(lambda: load_config(file=file, settings=[f"{above}={OLD[old]}"]))  # noqa: B023
        assert value(config, new) == OLD[old]
        assert len(told) == count


def test_both_old_names_at_once_leave_their_neighbours_alone(tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text("[plan]\nseeds = 7\npae = 3\n[partition]\nbeta = 0.5\nparticipation = 0.4\n")
    config, told = warned(lambda: load_config(file=file))
    assert (config.plan.seeds, config.plan.tiles, config.plan.participation) == (7, 3, 0.4)
    assert config.partition.beta == 0.5
    assert len(told) == 2


@pytest.mark.parametrize("old", OLD)
def test_both_names_in_one_layer_are_refused(old: str, tmp_path: Path) -> None:
    new = RENAMED[old]
    (old_table, old_name), (new_table, new_name) = old.split("."), new.split(".")
    file = tmp_path / "both.toml"
    tables: dict[str, list[str]] = {}
    for table, name in ((old_table, old_name), (new_table, new_name)):
        tables.setdefault(table, []).append(f"{name} = {OLD[old]}\n")
    file.write_text("".join(f"[{table}]\n{''.join(lines)}" for table, lines in tables.items()))
    with pytest.raises(ConfigError) as raised:
        load_config(file=file)
    assert str(raised.value) == f"setting {old}: got also {new}; expected one of them; fix: drop {old}"


@pytest.mark.parametrize(("setting", "said"), [("plan.pae=0", "plan.tiles: got 0"), ("plan.pae=x", "got 'x'")])
def test_a_bad_value_under_an_old_name_is_told_by_the_new(setting: str, said: str) -> None:
    with pytest.warns(RenamedWarning), pytest.raises(ConfigError, match=said) as raised:
        load_config(settings=[setting])
    assert "\n" not in str(raised.value)


def test_what_has_no_old_name_is_left_alone() -> None:
    for tree in ({}, {"plan": {"tiles": 2}}, {"plan": 3}, {"partition": "iid"}, {"pae": 2, "other": {"pae": 1}}):
        given = dict(tree)
        assert with_new_names(tree) == given
        assert tree == given
    old = {"plan": {"pae": 2, "seeds": 1}}
    with pytest.warns(RenamedWarning):
        assert with_new_names(old) == {"plan": {"tiles": 2, "seeds": 1}}
    assert old == {"plan": {"pae": 2, "seeds": 1}}, "the tree given is not changed"
