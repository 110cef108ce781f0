"""What settings leave open, chosen to suit the data: samples, networks, augmentation, recipe, local method."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from collabdm.config import Config
from collabdm.data.presets import Preset
from collabdm.errors import ConfigError, explain, got_in, told
from collabdm.judges.base import JudgeSpec
from collabdm.methods import method_named
from collabdm.modalities import MODALITIES
from collabdm.modality import Modality
from collabdm.networks import Architecture, NetworkSpec
from collabdm.protocol import LocalSpec
from collabdm.training.recipes import RECIPES, Recipe

__all__ = [
    "augmentation_for",
    "disagreement",
    "fitted",
    "local_for",
    "network_for",
    "networks_tested",
    "recipe_for",
    "sample_for",
    "tiles_in",
]

MOST_SAMPLES_OF_ALL_DATA = 100_000

Spec = TypeVar("Spec", bound=Architecture[Any])


def sample_for(config: Config, preset: Preset) -> Modality:
    """The description of the samples: from the data set's declared facts, normalised by these or as configured;
    what `plan.sample` sets is as it says.

    Raises `ConfigError` where these do not fit together.
    """
    try:
        sample = MODALITIES[config.modality].declared(preset.sample, config.plan.normalisation)
        return type(sample).model_validate(sample.model_dump() | config.plan.sample)
    except ValidationError as error:
        raise disagreement(error, ("sample",)) from None


def network_for(config: Config, preset: Preset) -> NetworkSpec:
    """The encoder: as set, with the depth that suits the size of the data set's images where none is given."""
    return fitted(config.plan.network or NetworkSpec(name=MODALITIES[config.modality].network), preset)


def networks_tested(config: Config, preset: Preset) -> tuple[NetworkSpec | JudgeSpec, ...]:
    """The classifiers that judge a set: as set, else the modality's judge where it has one and no encoder is set, else
    the encoder's architecture. Raises `ConfigError` for a classical judge that cannot learn such samples."""
    judge = MODALITIES[config.modality].judge
    if config.evaluate.networks:
        named = config.evaluate.networks
    elif judge is not None and config.plan.network is None:
        named = (NetworkSpec(name=judge),)
    else:
        named = (network_for(config, preset),)
    for one in named:
        if isinstance(one, JudgeSpec):
            one.check(sample_for(config, preset).shape)
    return tuple(fitted(one, preset) if isinstance(one, NetworkSpec) else one for one in named)


def recipe_for(config: Config) -> Recipe:
    """The evaluation recipe with the number of networks set; `fast` shows all the data fewer times than a small set."""
    recipe = RECIPES[config.evaluate.protocol]
    if recipe.most_samples is not None and method_named(config.method).source == "full":
        recipe = recipe.model_copy(update={"most_samples": MOST_SAMPLES_OF_ALL_DATA})
    chosen = {"count": config.evaluate.count, "epochs": config.evaluate.epochs}
    return recipe.model_copy(update={name: value for name, value in chosen.items() if value is not None})


def augmentation_for(config: Config, preset: Preset) -> tuple[str, ...]:
    """Operations of the augmentation: the data set's proposal (mild ones where nothing is known), all, none, or as
    listed."""
    everything = tuple(MODALITIES[config.modality].operations)
    proposed = preset.augment
    if proposed is None:
        proposed = tuple(operation for operation in everything if operation not in preset.without)
    augment = config.plan.augment
    return {"auto": proposed, "all": everything, "none": ()}[augment] if isinstance(augment, str) else augment


def tiles_in(config: Config, sample: Modality) -> int:
    """The l of partition and expand: as set, else the usual one for the method, and 1 where samples are too small."""
    if config.plan.tiles is None:
        try:
            sample.check_tiles(config.tiles)
        except ConfigError:
            return 1
    return config.tiles


def local_for(config: Config) -> LocalSpec:
    """How clients distil: as set, else the modality's way, where the server refines; rivals and local-dm mean `dm`."""
    asked = config.local != LocalSpec() or "method" in config.local.model_fields_set
    if asked or not method_named(config.method).refined:
        return config.local
    return LocalSpec(method=MODALITIES[config.modality].local)


def fitted(network: Spec, preset: Preset) -> Spec:
    """A ConvNet without a depth gets the one that suits the data set's image size."""
    if network.name == "convnet" and network.depth is None and preset.depth != 3:
        return network.model_copy(update={"depth": preset.depth})
    return network


def disagreement(error: ValidationError, within: tuple[str, ...] = ()) -> ConfigError:
    """What does not fit together in a plan, in one line; `within`: where in the plan the fields lie."""
    first = error.errors()[0]
    where = ".".join(map(str, (*within, *first["loc"])))
    # What is wrong with several fields together would show them all, and cut off where it matters.
    got = "settings that do not go together" if isinstance(first.get("input"), Mapping) else got_in(first)
    named = {"clients": "rename that client where it is named", "classes": "rename that class in the data"}
    fix = named[str(first["loc"][0])] if len(first["loc"]) == 2 and first["loc"][0] in named else "correct it"
    return ConfigError(explain(f"plan: {where}" if where else "plan", got=got, expected=told(first), fix=fix))
