"""From settings and declared facts to a plan."""

from pathlib import Path
from typing import Any

import pytest

from collabdm.config import config_toml, load_config
from collabdm.data import PRESETS, generic_preset, load_dataset
from collabdm.errors import ConfigError
from collabdm.images.augment import OPERATIONS
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.methods import METHODS
from collabdm.networks import NetworkSpec
from collabdm.planning import make_plan
from collabdm.protocol import Plan, decode_plan, encode_plan

DIGITS = PRESETS["digits"]


NO_FLIP = ("colour", "crop", "cutout", "scale", "rotate")


def plan_of(preset: str = "digits", clients: tuple[str, ...] = ("a", "b"), **options: Any) -> Plan:
    known = PRESETS[preset]
    config = load_config(options={key.replace("__", "."): value for key, value in options.items()})
    return make_plan(config, preset=known, clients=clients)


def normalisation_of(plan: Plan) -> Normalisation:
    assert isinstance(plan.sample, Images)
    return plan.sample.normalisation


@pytest.mark.parametrize("clients", [(), {}, iter(())])
def test_a_plan_is_for_somebody(clients: Any) -> None:
    with pytest.raises(ConfigError, match="plan: clients: got none; expected one or more; fix: name the sites"):
        make_plan(load_config(), clients=clients)


@pytest.mark.parametrize(
    ("preset", "mean", "std", "augment", "depth"),
    [
        ("mnist", (0.1307,), (0.3081,), NO_FLIP, None),
        ("fashion_mnist", (0.2861,), (0.3530,), tuple(OPERATIONS), None),
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), tuple(OPERATIONS), None),
        ("svhn", (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), NO_FLIP, None),
        ("digits", (0.5,), (0.5,), NO_FLIP, 2),
    ],
)
def test_what_is_known_of_the_data_goes_into_the_plan(
    preset: str, mean: tuple[float, ...], std: tuple[float, ...], augment: tuple[str, ...], depth: int | None
) -> None:
    plan = plan_of(preset)
    assert normalisation_of(plan) == Normalisation(mean=mean, std=std)
    assert plan.augment == augment
    assert plan.network == NetworkSpec(depth=depth)
    assert plan.sample.shape == PRESETS[preset].shape
    assert plan.classes == PRESETS[preset].classes


def test_unknown_data_is_normalised_by_a_half() -> None:
    preset = generic_preset("mine", (3, 64, 64), ("x", "y"))
    plan = make_plan(load_config(), preset=preset, clients=("a",))
    assert normalisation_of(plan) == Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3)
    assert plan.augment == ("colour", "crop", "cutout", "scale")
    assert plan.network.depth == 4


def test_settings_win_over_proposals() -> None:
    declared = {"mean": [0.1], "std": [0.2]}
    plan = plan_of(plan__normalisation=declared, plan__augment="flip,crop", plan__network="convnet")
    assert normalisation_of(plan) == Normalisation(mean=(0.1,), std=(0.2,))
    assert plan.augment == ("flip", "crop")
    assert plan_of(plan__augment="all").augment == tuple(OPERATIONS)
    assert plan_of(plan__augment="none").augment == ()
    assert plan_of(plan__network={"depth": 3, "width": 8}).network == NetworkSpec(depth=3, width=8)
    assert plan_of(plan__network={"width": 8}).network == NetworkSpec(depth=2, width=8)
    assert plan_of(plan__network="alexnet").network == NetworkSpec(name="alexnet")


def test_every_setting_of_a_round_reaches_the_plan() -> None:
    plan = plan_of(
        clients=("c", "a", "b"),
        seed=5,
        ipc=6,
        plan__participation=0.4,
        plan__seeds=7,
        plan__batch=8,
        plan__most_held=900,
        plan__min_held=3,
        plan__tiles=1,
        plan__statistics="moments",
        plan__encoding="fp32",
        local__lr=0.25,
    )
    assert plan.clients == ("a", "b", "c")
    assert (plan.seed, plan.ipc, plan.seeds, plan.batch, plan.tiles) == (5, 6, 7, 8, 1)
    assert plan.most_held == 900
    assert plan.min_held == 3
    assert (plan.participation, plan.statistics, plan.encoding, plan.local.lr) == (0.4, "moments", "fp32", 0.25)
    assert decode_plan(encode_plan(plan)) == plan


@pytest.mark.parametrize(
    ("method", "settings", "local"),
    [
        ("collabdm", [], "kmeans"),
        ("central-dm", [], "kmeans"),
        ("local-dm", [], "dm"),  # a rival is what its name says
        ("collabdm", ["local.method=dm"], "dm"),
        ("collabdm", ["local.iterations=30"], "dm"),  # what is set must not be without effect
        ("collabdm", ["local.method=gmm"], "gmm"),
    ],
)
@pytest.mark.parametrize("dataset", ["iris", "series:digits"])
def test_sites_of_tables_and_series_send_centres_unless_something_else_is_asked(
    dataset: str, method: str, settings: list[str], local: str, tmp_path: Path
) -> None:
    rows = load_dataset(dataset)
    config = load_config(settings=settings, options={"dataset": dataset, "method": method})
    (tmp_path / "config.toml").write_bytes(config_toml(config))
    for read in (config, load_config(file=tmp_path / "config.toml")):
        plan = make_plan(read, clients=("a", "b"), preset=rows.preset)
        assert plan.local.method == local
    assert plan_of().local.method == "dm"  # of images


@pytest.mark.parametrize("dataset", [name for name, preset in PRESETS.items() if preset.classes])
def test_without_a_preset_the_facts_are_those_known_of_the_data_set(dataset: str) -> None:
    config = load_config(options={"dataset": dataset})
    assert make_plan(config, clients=("a", "b")) == make_plan(config, clients=("a", "b"), preset=PRESETS[dataset])


@pytest.mark.parametrize("dataset", ["./digits", "owner/name", "cifar100", "here\x1b[31m\n.npz"])
def test_without_a_preset_an_unknown_data_set_is_refused_in_one_line(dataset: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_plan(load_config(options={"dataset": dataset}), clients=("a",))
    message = str(raised.value)
    known = ", ".join(name for name in PRESETS if name != "cifar100")
    assert message.startswith("facts of the data: got ")
    assert f"; expected one of {known}; fix: pass the preset of a loaded data set" in message
    assert message.isprintable()


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.source == "round"])
@pytest.mark.parametrize("statistics", ["mean", "moments"])
def test_the_method_decides_on_statistics_and_tiles(name: str, statistics: str) -> None:
    plan = plan_of(method=name, plan__statistics=statistics)
    assert plan.statistics == ("none" if name.startswith("local-dm") else statistics)
    assert plan.tiles == (2 if name.endswith("-pae") else 1)


@pytest.mark.parametrize(
    ("options", "mentions"),
    [
        ({"plan__tiles": 3}, "8"),
        ({"plan__network": {"depth": 4}}, "convnet on 8x8 images"),
        ({"plan__network": "vgg11"}, "vgg11 on 8x8 images"),
        ({"plan__network": {"name": "vgg11", "depth": 2}}, "network vgg11: got depth=2"),
        ({"plan__normalisation": {"mean": [0.5] * 3, "std": [0.5] * 3}}, "channels"),
        ({"clients": ()}, "plan: clients"),
        ({"clients": ("a", "a")}, "distinct"),
        ({"clients": ("a\x1b[31m",)}, "printable"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(options: dict[str, Any], mentions: str) -> None:
    with pytest.raises(ConfigError) as raised:
        plan_of(**options)
    message = str(raised.value)
    assert mentions in message
    assert "; expected " in message
    assert "; fix: " in message
    assert message.isprintable()


GRAM: dict[str, Any] = {"plan__statistics": "mean,gram", "plan__features": {"width": 16}, "plan__gram_bits": 6}


def test_the_settings_of_the_gram_matrix_reach_the_plan() -> None:
    plan = plan_of(**GRAM)
    assert plan.statistics == ("mean", "gram")
    assert (plan.features, plan.gram_bits) == (NetworkSpec(name="patches", width=16), 6)
    assert decode_plan(encode_plan(plan)) == plan
    usual = plan_of(plan__statistics="gram")
    assert (usual.statistics, usual.features, usual.gram_bits) == ("gram", NetworkSpec(name="patches"), 8)
    other: dict[str, Any] = GRAM | {"preset": "cifar10", "plan__features": "alexnet"}
    assert plan_of(**other).features == NetworkSpec(name="alexnet")
    # Without it, its settings are of no use, and the plan is the one it always was.
    without = plan_of(plan__features="patches", plan__gram_bits=6)
    assert encode_plan(without) == encode_plan(plan_of())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Digits are not mirrored, photographs are.
        ({"preset": "mnist"}, "patches"),
        ({"preset": "mnist", "plan__augment": "all"}, "mirrored-patches"),
        ({"preset": "cifar10"}, "mirrored-patches"),
        ({"preset": "cifar10", "plan__augment": "none"}, "patches"),
        ({"preset": "cifar10", "plan__augment": ("crop", "flip")}, "mirrored-patches"),
        ({"preset": "cifar10", "plan__features": "patches"}, "patches"),
    ],
)
def test_features_of_an_image_and_its_mirror_image_where_the_augmentation_mirrors(
    options: dict[str, Any], expected: str
) -> None:
    plan = plan_of(plan__statistics="gram", **options)
    assert plan.features is not None
    assert plan.features.name == expected


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.source == "round"])
def test_the_union_of_local_sets_asks_for_no_gram_matrix(name: str) -> None:
    plan = plan_of(method=name, **GRAM)
    asked = not name.startswith("local-dm")
    assert plan.statistics == (("mean", "gram") if asked else "none")
    assert ((plan.features is not None), (plan.gram_bits is not None)) == (asked, asked)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"plan__features": {"depth": 2}}, "network patches: got depth=2"),
        ({"plan__features": {"name": "vgg11"}}, "vgg11 on 8x8 images"),
        ({"plan__features": {"width": 4096}}, "at most 8192 numbers for a sample, got 32768"),
    ],
)
def test_a_feature_map_that_does_not_fit_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        plan_of(**GRAM | options)
    assert says in str(raised.value)
    assert str(raised.value).isprintable()
    assert "; fix: " in str(raised.value)


def test_samples_without_a_feature_map_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Images, "feature_map", None)
    with pytest.raises(ConfigError) as raised:
        plan_of(plan__statistics="mean,gram")
    assert str(raised.value) == (
        "plan.statistics: got gram for images, for which none is known; expected a plan with a feature map; "
        "fix: set plan.features to a network for them"
    )
    assert plan_of(**GRAM).features == NetworkSpec(name="patches", width=16)
