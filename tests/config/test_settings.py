"""Settings: one tree from several layers, written and read back, and nothing unknown in it."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pydantic import BaseModel

from collabdm.config import Config, PlanSpec, load_config, make_config
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
    assert plan("plan.features.width=16").features == NetworkSpec(name="mirrored-patches", width=16)
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
        ("partition.clients=0", "partition.clients: got 0; expected at least 1"),
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
    fix = "did you mean flip?" if unknown == "Flip" else "correct it"
    message = " ".join(f"setting plan.augment: got {', '.join(wrong)}; expected {expected}; fix: {fix}".split())
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
        ("digits", "convnet", "mirrored-patches"),
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


@pytest.mark.parametrize(
    ("setting", "near"),
    [
        ("method=colabdm", "collabdm"),
        ("plan.encoding=int9", "int8"),
        ("partition.kind=dirichlett", "dirichlet"),
        ("evaluate.networks=convnte", "convnet"),
        ("server.schedule=cosin", "cosine"),
        ("plan.seed=3", "plan.seeds"),
    ],
)
def test_the_name_that_was_meant_is_told(setting: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"fix: did you mean {near}\?$"):
        load_config(settings=[setting])
