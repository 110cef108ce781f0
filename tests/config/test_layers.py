"""Where settings come from: layers over one another, written as TOML and read back."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collabdm.config import PRESETS, config_toml, load_config, make_config
from collabdm.config.server import UNBOUNDED
from collabdm.engine import Engine
from collabdm.errors import ConfigError
from collabdm.images.augment import OPERATIONS
from collabdm.networks import NetworkSpec

EVERYTHING: dict[str, Any] = {
    "dataset": "some/where with spaces",
    "method": "central-dm-pae",
    "ipc": 7,
    "seed": 2**53 - 1,
    "repeats": 3,
    "device": "cpu",
    "engine": {"kind": "compiled", "dtype": "bfloat16", "device": "cpu", "chunk": 16},
    "partition": {
        "kind": "by-column",
        "clients": ["north", "south"],
        "beta": 1e-7,
        "column": "station",
        "balance": True,
    },
    "plan": {
        "seeds": 0,
        "participation": 0.3,
        "batch": 9,
        "most_held": 700,
        "min_held": 5,
        "network": {"name": "convnet", "width": 8, "depth": 2, "norm": "none", "pooling": "max"},
        "tiles": 3,
        "augment": ["flip", "colour"],
        "statistics": ["moments", "gram"],
        "features": {"name": "patches", "width": 16},
        "gram_bits": 12,
        "encoding": "fp32",
        "normalisation": {"mean": [0.1, 0.2, 1 / 3], "std": [0.5, 0.6, 0.7]},
        "sample": {"height": 24},
    },
    "local": {"iterations": 5, "lr": 0.1, "momentum": 0.0, "batch": 3, "reuse": False, "init": "noise"},
    "server": {
        "passes": 2,
        "lr": 3.5,
        "schedule": "constant",
        "momentum": 0.25,
        "step": "per-class",
        "batch": 4,
        "weighting": "uniform",
        "teacher": 0.7,
        "teacher_batch": 9,
        "aggregation": "trimmed",
        "trim": 0.1,
        "clip": 1.5,
        "evaluate_every": 10,
    },
    "evaluate": {"protocol": "paper", "networks": [{"name": "convnet", "depth": 1}, {"name": "alexnet"}], "count": 2},
}


@pytest.mark.parametrize("tree", [{}, EVERYTHING, *PRESETS.values()])
def test_toml_round_trip(tree: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(tree)
    file = tmp_path / "config.toml"
    file.write_bytes(config_toml(config))
    assert load_config(file=file) == config
    # A preset beneath a whole file changes nothing that the file says.
    if tree is EVERYTHING:
        assert load_config(preset="paper", file=file) == config
        assert config.partition.clients == ("north", "south")
        assert config.engine == Engine(kind="compiled", dtype="bfloat16", chunk=16)


@settings(max_examples=12)
@given(beta=st.floats(1e-300, 1e300), lr=st.floats(1e-300, 1e300), name=st.text(st.characters(codec="utf-8")))
def test_toml_keeps_every_bit(beta: float, lr: float, name: str) -> None:
    config = make_config({"dataset": name, "partition": {"beta": beta}, "server": {"lr": lr}})
    assert make_config(tomllib.loads(config_toml(config).decode())) == config


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("ipc = 20\nseed = 2\n[local]\nlr = 0.2\niterations = 22\n[server]\nlr = 2.0\n")
    settings = ["seed=3", "local.iterations=33", "server.lr=3", "server.lr=3.5", "plan.batch=33"]
    options = {"plan.batch": 44, "server.lr": 4.0, "local.batch": None, "dataset": None}
    config = load_config(preset="paper", file=file, settings=settings, options=options)
    assert config.local.batch == 256  # preset; an option of None was not given
    assert config.ipc == 20  # file over preset
    assert config.local.lr == 0.2
    assert config.seed == 3  # setting over file
    assert config.local.iterations == 33
    assert config.plan.batch == 44  # option over setting
    assert config.server.lr == 4.0
    assert load_config(preset="paper", settings=settings[:-1]).server.lr == 3.5  # the later of two settings
    assert config.dataset == "digits"


def test_a_file_of_settings_by_any_editor(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"\xef\xbb\xbfipc = 7\r\n[plan]\r\nseeds = 5\r\n")
    config = load_config(file=file)
    assert (config.ipc, config.plan.seeds) == (7, 5)
    file.write_bytes("ipc = 7".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"got text in UTF-16; .*save it as UTF-8"):
        load_config(file=file)


def test_statistics_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for text in ('["mean", "gram"]', '"mean,gram"'):
        file.write_text(f"[plan]\nstatistics = {text}\ngram_bits = 6\n[plan.features]\nwidth = 32\n")
        config = load_config(file=file)
        assert (config.plan.statistics, config.plan.gram_bits) == (("mean", "gram"), 6)
        assert config.plan.features == NetworkSpec(name="mirrored-patches", width=32)
        file.write_bytes(config_toml(config))
        assert 'statistics = [\n    "mean",\n    "gram",\n]' in file.read_text()
        assert load_config(file=file) == config


@pytest.mark.parametrize("content", [b"ipc = ", b"\xff\xfe", None])
def test_an_unreadable_file(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine.toml: got .*; expected a TOML file in UTF-8; fix: "):
        load_config(file=file)


def test_an_unknown_preset() -> None:
    with pytest.raises(ConfigError, match=r"^preset: got papers; expected one of default, paper, demo"):
        load_config(preset="papers")


@pytest.mark.parametrize("weighting", ["count", "uniform"])
def test_the_paper_preset_is_the_paper(weighting: str) -> None:
    config = load_config(preset="paper", settings=[f"server.weighting={weighting}"])
    assert config.ipc == 50
    assert (config.plan.seeds, config.plan.batch, config.plan.statistics) == (200, 512, "mean")
    assert config.plan.augment == tuple(OPERATIONS) == ("colour", "crop", "cutout", "flip", "scale", "rotate")
    local = {"method": "dm", "iterations": 1000, "lr": 1.0, "momentum": 0.5, "batch": 256, "reuse": False}
    assert config.local.model_dump(exclude_none=True) == local | {"init": "real"}
    server = {"passes": 1, "lr": 10.0, "schedule": "constant", "momentum": 0.5, "step": "per-class", "batch": None}
    unguarded = {"aggregation": "mean", "trim": 0.2, "clip": None}
    # The teacher's term is for plans with the Gram matrix, which this preset has not.
    server |= {
        "reach": UNBOUNDED,
        "bounded": False,
        "draw": None,
        "teacher": 1.0,
        "teacher_batch": 128,
        "teacher_loss": "cross-entropy",
    }
    assert config.server.model_dump() == server | unguarded | {"weighting": weighting, "evaluate_every": 0}
    assert config.evaluate.protocol == "paper"
    assert config.plan.network is None  # ConvNet of width 128 and the depth that suits the data: 3 at 32 pixels
    assert (config.partition.clients, config.partition.beta, config.plan.participation) == (5, 0.1, 1.0)
    assert load_config(preset="paper").server.weighting == "count"
