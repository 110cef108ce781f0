"""Settings: one tree from several layers, written and read back, and nothing unknown in it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from collabdm.config import PRESETS, Config, PlanSpec, config_toml, load_config, make_config
from collabdm.config.server import UNBOUNDED
from collabdm.engine import Engine
from collabdm.errors import ConfigError
from collabdm.images.augment import OPERATIONS
from collabdm.images.pixels import Normalisation
from collabdm.methods import METHODS
from collabdm.networks import NetworkSpec
from collabdm.protocol import LOCAL_METHODS

# The promised keys.
KEYS = {
    "": "dataset modality method ipc seed repeats device engine",
    "data": "label schema_file test_fraction group ignore",
    "partition": "kind clients beta reserve column missing balance",
    "plan": "seeds participation batch most_held min_held network tiles augment statistics features gram_bits encoding "
    "normalisation sample privacy masks",
    "local": "method iterations lr momentum batch reuse init",
    "server": "passes lr schedule momentum reach bounded step batch weighting teacher teacher_batch teacher_loss "
    "aggregation trim clip evaluate_every draw",
    "evaluate": "protocol networks count epochs",
    "rivals": "training dense co_boosting fedd3 dosfl dosfl_soft feddm strawman_gradient strawman_meta",
}


def test_the_keys_are_those_promised() -> None:
    fields = Config.model_fields
    sections = {
        name: field.annotation.model_fields
        for name, field in fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    found = {"": set(fields) - set(sections)} | {name: set(inner) for name, inner in sections.items()}
    assert found == {name: set(keys.split()) for name, keys in KEYS.items()}
    assert {name for name, method in LOCAL_METHODS.items() if method.settings} == {"kip", "gradient", "bptt", "feddm"}


def single(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """For every leaf of a tree, the tree that has this leaf alone."""
    found = []
    for key, value in tree.items():
        found += [{key: inner} for inner in single(value)] if isinstance(value, dict) else [{key: value}]
    return found


@pytest.mark.parametrize("layer", single(Config().model_dump(mode="json", exclude_none=True)), ids=str)
def test_naming_a_default_changes_nothing_else(layer: dict[str, Any]) -> None:
    assert make_config(layer) == Config()


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


def test_texts_and_lists_in_settings() -> None:
    def plan(*settings: str) -> Any:
        return load_config(settings=settings).plan

    assert plan("plan.network=alexnet").network == NetworkSpec(name="alexnet")
    assert plan('plan.network="vgg11"').network == NetworkSpec(name="vgg11")
    assert plan("plan.network.depth=2").network == NetworkSpec(name="convnet", depth=2)
    combined = plan("plan.network=convnet", "plan.network.depth=2", "plan.network.width=8")
    assert combined.network == NetworkSpec(name="convnet", depth=2, width=8)
    assert plan("plan.network.depth=2", "plan.network=alexnet").network == NetworkSpec(name="alexnet")
    assert plan("plan.augment=colour, crop").augment == ("colour", "crop")
    assert plan("plan.augment=flip").augment == ("flip",)
    assert plan('plan.augment=["flip","crop"]').augment == ("flip", "crop")
    assert plan("plan.augment=all").augment == "all"
    for same in ("mean,gram", "gram, mean", '"mean,gram"', '["mean","gram"]', '["gram", "mean"]'):
        assert plan(f"plan.statistics={same}").statistics == ("mean", "gram")
    for same in ("gram", '["gram"]', "none,gram", '["none", "gram"]'):
        assert plan(f"plan.statistics={same}").statistics == "gram"
    assert plan('plan.statistics=["moments"]').statistics == "moments"
    assert plan("plan.features=patches").features == NetworkSpec(name="patches")
    assert plan("plan.features=patches", "plan.features.width=16").features == NetworkSpec(name="patches", width=16)
    # A width alone is that of the feature map that is made for this, not of an encoder.
    assert plan("plan.features.width=16").features == NetworkSpec(name="patches", width=16)
    assert plan("plan.features.width=16", "plan.features=alexnet").features == NetworkSpec(name="alexnet")
    given = plan("plan.normalisation={mean=[0.1],std=[0.2]}").normalisation
    assert given == Normalisation(mean=(0.1,), std=(0.2,))
    tested = load_config(settings=["evaluate.networks=convnet, alexnet"]).evaluate.networks
    assert tested == (NetworkSpec(name="convnet"), NetworkSpec(name="alexnet"))
    assert load_config(settings=["partition.clients=b, a"]).partition.clients == ("b", "a")
    assert load_config(settings=["partition.clients=7"]).partition.clients == 7
    assert load_config(settings=["dataset=data/a=b.npz"]).dataset == "data/a=b.npz"


@pytest.mark.parametrize(
    "key",
    [
        "typo",
        "Engine",
        *(f"{section}.typo" for section in KEYS if section),
        "plan.network.typo",
        "plan.normalisation.typo",
        "engine.typo",
    ],
)
def test_unknown_keys_are_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^setting {key}: got an unknown key; expected .*; fix: "):
        load_config(settings=[f"{key}=1"])
    *section, name = key.split(".")
    file = tmp_path / "config.toml"
    file.write_text((f"[{'.'.join(section)}]\n" if section else "") + f"{name} = 1\n")
    with pytest.raises(ConfigError, match=rf"^setting {key}: got an unknown key"):
        load_config(file=file)


def test_unknown_keys_beside_good_ones_are_named() -> None:
    for setting, where in (
        ("plan.normalisation={mean=[0.5],std=[0.5],typo=1}", "plan.normalisation.typo"),
        ('engine={kind="eager",typo=1}', "engine.typo"),
        ('evaluate.networks=[{name="alexnet"},{name="convnet",typo=1}]', "evaluate.networks.1.typo"),
    ):
        with pytest.raises(ConfigError, match=f"^setting {where}: got an unknown key"):
            load_config(settings=[setting, "ipc=3"])


@pytest.mark.parametrize(
    ("setting", "mentions"),
    [
        ("ipc=0", "ipc: got 0"),
        ("ipc=ten", "ipc: got 'ten'"),
        ("ipc=1.5", "ipc: got 1.5"),
        ("seed=-1", "seed: got -1"),
        (f"seed={2**53}", "seed: got 9007199254740992"),
        ("repeats=0", "repeats: got 0"),
        ("engine=warp", "engine: got 'warp'; expected 'auto', 'eager' or 'compiled'"),
        ("partition.kind=random", "partition.kind: got 'random'"),
        ("partition.clients=0", "partition.clients: got 0; expected greater than or equal to 1"),
        ("partition.clients=1.5", "partition.clients: got 1.5"),
        ("partition.beta=0", "partition.beta: got 0"),
        ("partition.beta=-1", "partition.beta: got -1"),
        ("partition.beta=nan", "partition.beta: got nan"),
        ("partition.beta=inf", "partition.beta: got inf"),
        ("plan.participation=0", "plan.participation: got 0"),
        ("plan.participation=1.01", "plan.participation: got 1.01"),
        ("partition.missing=unknown", "partition.missing goes with partition.column"),
        ("partition.kind=by-column", "partition.column goes with"),
        ("partition.column=site", "partition.column goes with"),
        ("plan=3", "plan: got 3"),
        ("plan.seeds=-1", "plan.seeds: got -1"),
        ("plan.seeds.x=3", "plan.seeds: got {'x': 3}"),
        ("plan.batch=0", "plan.batch: got 0"),
        ("plan.tiles=0", "plan.tiles: got 0"),
        ("plan.network=lenet", "plan.network.name: got 'lenet'"),
        ("plan.network.width=5", "plan.network.width: got 5"),
        (
            "plan.augment=colour,warp",
            "plan.augment: got warp; expected auto, all, none, or some of colour, crop, cutout, ",
        ),
        (
            "plan.augment=warp",
            "plan.augment: got warp; expected auto, all, none, or some of colour, crop, cutout, flip, ",
        ),
        ("plan.augment=[3]", "plan.augment.0: got 3"),
        ("modality=pictures", "modality: got 'pictures'; expected one of images, tables, series, auto"),
        ("local.method=magic", "local.method: got 'magic'; expected one of dm, kip, gmm, "),
        ("plan.normalisation={mean=[0.5],std=[0.0]}", "at least 1e-6"),
        ("plan.normalisation={mean=[0.5,0.5],std=[0.5]}", "one mean and one std"),
        ("plan.normalisation={mean=[nan],std=[0.5]}", "plan.normalisation.mean.0: got nan"),
        ("local.lr=0", "local.lr: got 0"),
        ("local.momentum=1", "local.momentum: got 1"),
        ("local.init=copy", "local.init: got 'copy'"),
        ("server.passes=-1", "server.passes: got -1"),
        ("server.lr=inf", "server.lr: got inf"),
        ("server.reach=0", "server.reach: got 0"),
        ("server.batch=0", "server.batch: got 0"),
        ("server.aggregation=median", "server.aggregation: got 'median'; expected one of mean, trimmed"),
        ("server.trim=0.5", "server.trim: got 0.5"),
        ("server.trim=0", "server.trim: got 0"),
        ("server.clip=0.9", "server.clip: got 0.9"),
        ("plan.most_held=0", "plan.most_held: got 0"),
        ("plan.min_held=0", "plan.min_held: got 0"),
        ("server.weighting=size", "server.weighting: got 'size'; expected 'count' or 'uniform'"),
        ("evaluate.count=0", "evaluate.count: got 0"),
        ("evaluate.networks=[]", "evaluate.networks: got []"),
        ("method=magic", "method: got magic; expected one of random-real, "),
        ("beta", "--set: got beta; expected key=value"),
        ("=3", "--set: got =3; expected key=value"),
    ],
)
def test_bad_values_say_got_expected_and_fix(setting: str, mentions: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(settings=[setting])
    message = str(raised.value)
    assert mentions in message
    assert message.count("; expected ") == message.count("; fix: ") == 1
    assert "\n" not in message


@pytest.mark.parametrize("unknown", ["warp", "flip,warp,bend", "Flip", ""])
def test_unknown_operations_are_told_with_the_known(unknown: str, tmp_path: Path) -> None:
    wrong = [one for one in unknown.split(",") if one not in OPERATIONS]
    expected = f"auto, all, none, or some of {', '.join(OPERATIONS)}"
    message = " ".join(f"setting plan.augment: got {', '.join(wrong)}; expected {expected}; fix: correct it".split())
    file = tmp_path / "mine.toml"
    file.write_bytes(tomli_w.dumps({"plan": {"augment": unknown.split(",")}}).encode())
    for load in (
        lambda: load_config(settings=[f"plan.augment='{unknown}'"]),
        lambda: load_config(file=file),
        lambda: Config(plan=PlanSpec(augment=tuple(unknown.split(",")))),
    ):
        with pytest.raises(ConfigError) as raised:
            load()
        assert str(raised.value) == message


def test_long_or_hostile_names_of_operations_stay_one_short_line() -> None:
    with pytest.raises(ConfigError) as raised:
        Config(plan=PlanSpec(augment=("flip", "\x1b[31m\n" + 10_000 * "x")))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


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
        assert config.plan.features == NetworkSpec(name="patches", width=32)
        file.write_bytes(config_toml(config))
        assert 'statistics = [\n    "mean",\n    "gram",\n]' in file.read_text()
        assert load_config(file=file) == config


@pytest.mark.parametrize(
    "text", ["[]", '""', "mean,moments", "gram,gram", "median", "[1]", "3", "{}", "true", '[["mean"]]']
)
def test_what_are_no_statistics(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^setting plan\.statistics: got .*; expected .*gram.*; fix: "):
        load_config(settings=[f"plan.statistics={text}"])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("plan.gram_bits=3", "plan.gram_bits: got 3"),
        ("plan.gram_bits=17", "plan.gram_bits: got 17"),
        ("plan.gram_bits=many", "plan.gram_bits: got 'many'"),
        ("plan.features=perceptron", "plan.features"),
        ("plan.features={name='resnet18',norm='batch'}", "plan.features"),
        ("server.teacher=-1", "server.teacher: got -1"),
        ("server.teacher_batch=0", "server.teacher_batch: got 0"),
    ],
)
def test_settings_of_the_teacher_have_bounds(setting: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(settings=[setting])
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


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


@pytest.mark.parametrize("name", METHODS)
def test_the_tiles_follow_the_method(name: str) -> None:
    assert make_config({"method": name}).tiles == (2 if name.endswith("-pae") else 1)
    assert make_config({"method": name, "plan": {"tiles": 1}}).tiles == 1
    if name.endswith("-pae"):
        assert make_config({"method": name, "plan": {"tiles": 3}}).tiles == 3
    else:
        with pytest.raises(ConfigError, match=f"^plan.tiles: got 3 with {name}; expected 1; fix: use {name}-pae"):
            make_config({"method": name, "plan": {"tiles": 3}})


@pytest.mark.parametrize(
    ("dataset", "network", "features"),
    [
        ("digits", "convnet", "patches"),
        ("iris", "random-features", "random-features"),
        ("series:basic_motions", "convnet1d", "rocket"),
    ],
)
def test_a_width_alone_is_that_of_the_modalitys_own_networks(dataset: str, network: str, features: str) -> None:
    settings = ["plan.network={width=32}", "plan.features={width=16}"]
    plan = load_config(settings=[f"dataset={dataset}", *settings]).plan
    assert plan.network == NetworkSpec(name=network, width=32)
    assert plan.features == NetworkSpec(name=features, width=16)
    assert Config(dataset=dataset, plan={"network": {"width": 32}}).plan.network == plan.network
