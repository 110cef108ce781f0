"""From settings and a data set's declared facts to a plan."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from collabdm.config import Config, PlanSpec
from collabdm.data.presets import PRESETS, Preset
from collabdm.data.samples import Dataset, Samples
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, explain
from collabdm.methods import method_named
from collabdm.modalities import MODALITIES
from collabdm.networks import build_network
from collabdm.planning.choices import augmentation_for, disagreement, local_for, network_for, sample_for, tiles_in
from collabdm.protocol import BOUNDED, GRAM, LocalSpec, Plan, asks_gram

__all__ = ["make_plan", "promised"]

# Noise grows with the root of the seeds and of the features: few of both, chosen on held-out training data.
_PRIVATE_SEEDS, _PRIVATE_WIDTH = 10, 64


@plain_torch()
def make_plan(
    config: Config,
    *,
    clients: Iterable[str] | Mapping[str, Samples],
    preset: Preset | Dataset | Samples | None = None,
    keys: Mapping[str, str] | None = None,
) -> Plan:
    """ServerDM's part before the round (Algorithm 1, lines 2-6).

    `clients`: their names, or what each holds by its name. `preset`: the declared facts of the data with the names of
    its classes (`Dataset.preset`), or data to read them from; of samples only the shape and the names of the classes
    are read. By default they are those that are known of `config.dataset`, unless the samples of `clients` are others:
    then they are read from these. `keys`: the public key of each client, with which they mask their sums
    (`config.plan.masks`; `SiteKey.public`).
    Raises `ConfigError` where no facts are known, or the samples are too small for the network or for the tiles.
    """
    if isinstance(clients, str | bytes) or not isinstance(clients, Iterable):
        fix = 'give a list of names, such as ["north", "south"]'
        raise ConfigError(explain("clients of a plan", got=repr(clients)[:80], expected="several names", fix=fix))
    if not (clients := clients if isinstance(clients, Mapping) else tuple(clients)):
        fix = 'name the sites, such as ["north", "south"]'
        raise ConfigError(explain("plan: clients", got="none", expected="one or more", fix=fix))
    preset = _facts(config, _held(clients) if preset is None else preset)
    config, clients = promised(config), tuple(sorted(clients))
    sample, network = sample_for(config, preset), network_for(config, preset)
    build_network(network, sample.shape, len(preset.classes))
    augment = augmentation_for(config, preset)
    fields = {
        "seed": config.seed,
        "clients": clients,
        "classes": preset.classes,
        "sample": sample,
        "network": network,
        "ipc": config.ipc,
        "seeds": config.plan.seeds,
        "participation": config.plan.participation,
        "batch": config.plan.batch,
        "most_held": config.plan.most_held,
        "min_held": config.plan.min_held,
        "tiles": tiles_in(config, sample),
        "augment": augment,
        **_statistics(config, augment),
        "encoding": config.plan.encoding,
        "local": local_for(config),
        "privacy": config.plan.privacy,
        "masks": _masks(config, clients, keys),
    }
    try:
        return Plan.model_validate(fields)
    except ValidationError as error:
        raise disagreement(error) from None


def promised(config: Config) -> Config:
    """`config` with all that a promise of privacy implies: sums that are bounded for every sample, over all samples,
    and nothing else, so no local set. What is set otherwise than by default stays, for the plan to refuse."""
    if config.plan.privacy is None:
        return config
    usual, features = PlanSpec(), config.plan.features or MODALITIES[config.modality].feature_map
    asked: dict[str, Any] = {}
    if config.plan.statistics == usual.statistics:
        asked["statistics"] = BOUNDED if features is None else (BOUNDED, GRAM)
    if features is not None and features.norm is None:
        chosen = config.plan.features or features.model_copy(update={"width": _PRIVATE_WIDTH})
        asked["features"] = chosen.model_copy(update={"norm": "layer"})
    if config.plan.min_held == usual.min_held:
        asked["min_held"] = 1
    if config.plan.seeds == usual.seeds:
        asked["seeds"] = _PRIVATE_SEEDS
    local = LocalSpec(method="none") if config.local == LocalSpec() else config.local
    return config.model_copy(update={"plan": config.plan.model_copy(update=asked), "local": local})


def _masks(config: Config, clients: Sequence[str], keys: Mapping[str, str] | None) -> dict[str, Any] | None:
    """The plan's masks, more than half of the sites their threshold where none is set. Raises `ConfigError` where they
    are asked for, and a site's public key is missing or one is nobody's."""
    asked = config.plan.masks
    if asked is None and keys is None:
        return None
    given, fix = (
        dict(keys or {}),
        "make them with collabdm keys at each site, and pass the public halves (--keys, keys=)",
    )
    if set(given) != set(clients):
        missing, others = sorted(set(clients) - set(given)), sorted(set(given) - set(clients))
        got = f"none of {', '.join(missing[:10])}" if missing else f"one of {', '.join(others[:10])}, who is no client"
        raise ConfigError(explain("public keys", got=got, expected="one of each client (plan.masks)", fix=fix))
    usual = len(clients) // 2 + 1
    return {"threshold": max(usual, 2) if asked is None or asked.threshold is None else asked.threshold, "keys": given}


def _statistics(config: Config, augment: Sequence[str]) -> dict[str, Any]:
    """What the plan asks for besides the local set. Raises `ConfigError` for a modality without a feature map."""
    names = config.plan.statistics
    if not method_named(config.method).refined:
        names = "none"
    if not asks_gram(names):
        return {"statistics": names}
    modality = MODALITIES[config.modality]
    features = config.plan.features or modality.feature_map
    if features is None:
        got, fix = f"gram for {config.modality}, for which none is known", "set plan.features to a network for them"
        raise ConfigError(explain("plan.statistics", got=got, expected="a plan with a feature map", fix=fix))
    settled = modality.settled_map(features, augment)
    return {"statistics": names, "features": settled, "gram_bits": config.plan.gram_bits}


def _held(clients: Iterable[str] | Mapping[str, Samples]) -> Samples | None:
    """What the first client holds, where that is said."""
    first = next(iter(clients.values()), None) if isinstance(clients, Mapping) else None
    return first if isinstance(first, Samples) else None


def _facts(config: Config, given: object) -> Preset:
    """The facts in what was given, or that are known of the data set."""
    if given is None:
        return _known(config)
    if isinstance(given, Preset):
        return given
    if isinstance(given, Dataset):
        return given.preset
    if isinstance(given, Samples):
        known = PRESETS.get(config.dataset)
        if known is not None and known.shape == given.shape and known.classes == given.classes:
            return known
        return MODALITIES[config.modality].preset_of(config.dataset, given.shape, given.classes)
    fix = "pass Dataset.preset, a data set or samples"
    raise ConfigError(explain("facts of the data", got=type(given).__name__, expected="a preset", fix=fix))


def _known(config: Config) -> Preset:
    known = {name: preset for name, preset in PRESETS.items() if preset.classes}
    if config.dataset not in known:
        fix = "pass the preset of a loaded data set, or one with its classes"
        raise ConfigError(
            explain("facts of the data", got=config.dataset, expected=f"one of {', '.join(known)}", fix=fix)
        )
    return known[config.dataset]
