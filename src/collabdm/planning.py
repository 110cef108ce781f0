"""From settings and a data set's declared facts to a plan, and to a resolved engine."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from collabdm.config import Config, PlanSpec
from collabdm.data.presets import PRESETS, Preset
from collabdm.data.samples import Dataset, Samples
from collabdm.engine import Engine, resolve_engine
from collabdm.engine.plain import plain_torch
from collabdm.errors import ConfigError, explain, told
from collabdm.judges.base import JudgeSpec
from collabdm.kernels import fits, library_remark
from collabdm.methods import method_named, method_of
from collabdm.modalities import MODALITIES
from collabdm.modality import Modality
from collabdm.networks import Architecture, NetworkSpec, build_network
from collabdm.progress import Event, Report, silent
from collabdm.protocol import BOUNDED, GRAM, LocalSpec, Plan, asks_gram
from collabdm.training.recipes import RECIPES, Recipe

__all__ = [
    "augmentation_for",
    "engine_for",
    "fitted",
    "local_for",
    "make_plan",
    "network_for",
    "networks_tested",
    "promised",
    "recipe_for",
    "resolved",
    "sample_for",
    "settings_for",
    "tiles_in",
    "work_of",
]

MOST_SAMPLES_OF_ALL_DATA = 100_000

# Noise grows with the root of the seeds and of the features: few of both, chosen on held-out training data.
_PRIVATE_SEEDS, _PRIVATE_WIDTH = 10, 64

Spec = TypeVar("Spec", bound=Architecture[Any])


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
    preset = _facts(config, _held(clients) if preset is None else preset)
    config, clients = promised(config), tuple(sorted(clients))
    sample, network = sample_for(config, preset), network_for(config, preset)
    build_network(network, sample.shape, len(preset.classes))
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
        "augment": augmentation_for(config, preset),
        **_statistics(config),
        "encoding": config.plan.encoding,
        "local": local_for(config),
        "privacy": config.plan.privacy,
        "masks": _masks(config, clients, keys),
    }
    try:
        return Plan.model_validate(fields)
    except ValidationError as error:
        raise _explained(error) from None


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


def local_for(config: Config) -> LocalSpec:
    """How clients distil: as set, else the modality's way, where the server refines; rivals and local-dm mean `dm`."""
    asked = config.local != LocalSpec() or "method" in config.local.model_fields_set
    if asked or not method_named(config.method).refined:
        return config.local
    return LocalSpec(method=MODALITIES[config.modality].local)


def _statistics(config: Config) -> dict[str, Any]:
    """What the plan asks for besides the local set. Raises `ConfigError` for a modality without a feature map."""
    names = config.plan.statistics
    if not method_named(config.method).refined:
        names = "none"
    if not asks_gram(names):
        return {"statistics": names}
    features = config.plan.features or MODALITIES[config.modality].feature_map
    if features is None:
        got, fix = f"gram for {config.modality}, for which none is known", "set plan.features to a network for them"
        raise ConfigError(explain("plan.statistics", got=got, expected="a plan with a feature map", fix=fix))
    return {"statistics": names, "features": features, "gram_bits": config.plan.gram_bits}


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


def _explained(error: ValidationError, within: tuple[str, ...] = ()) -> ConfigError:
    first = error.errors()[0]
    where = ".".join(map(str, (*within, *first["loc"]))) or "combination"
    got = repr(first.get("input"))[:80] if first["loc"] else "fields that do not agree"
    named = {"clients": "rename that client where it is named", "classes": "rename that class in the data"}
    fix = named[str(first["loc"][0])] if len(first["loc"]) == 2 and first["loc"][0] in named else "correct it"
    return ConfigError(explain(f"plan: {where}", got=got, expected=told(first), fix=fix))


def sample_for(config: Config, preset: Preset) -> Modality:
    """The description of the samples: from the data set's declared facts, normalised by these or as configured;
    what `plan.sample` sets is as it says.

    Raises `ConfigError` where these do not fit together.
    """
    try:
        sample = MODALITIES[config.modality].declared(preset.sample, config.plan.normalisation)
        return type(sample).model_validate(sample.model_dump() | config.plan.sample)
    except ValidationError as error:
        raise _explained(error, ("sample",)) from None


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


@plain_torch()
def resolved(configs: Sequence[Config], preset: Preset, *, report: Report = silent) -> Engine:
    """The engine for the whole work of `configs` together on such data, as the first of them asks."""
    named = [spec for c in configs for spec in (network_for(c, preset), *networks_tested(c, preset))]
    networks = {spec for spec in named if isinstance(spec, NetworkSpec)}
    shape = sample_for(configs[0], preset).shape
    own = all(fits(build_network(spec, shape, len(preset.classes))) for spec in networks)
    return _resolved(configs[0], sum(work_of(c, preset) for c in configs), own, report)


def settings_for(config: Config, plan: Plan) -> Config:
    """A configuration for answering `plan`: its method if it is the plan's, else what the plan amounts to; its ipc, and
    the kind of its samples."""
    refined = plan.statistics != "none"
    method = method_named(config.method)
    name = method_of(refined=refined, tiles=plan.tiles)
    if method.source == "round" and method.refined == refined and config.tiles == plan.tiles:
        name = method.name
    return config.model_copy(update={"method": name, "ipc": plan.ipc, "modality": plan.sample.kind})


@plain_torch()
def engine_for(config: Config, plan: Plan, *, report: Report = silent) -> Engine:
    """The configured engine, or the one that suits one site's share of the plan's work. Raises `ConfigError`.

    It follows from the plan and the machine alone, so that sites and server agree: what the server does, and how the
    set is judged, is no site's work.
    """
    shape, classes, clients = plan.sample.shape, len(plan.classes), len(plan.clients)
    samples = _clients_samples(plan, plan.local, plan.ipc * classes * plan.tiles**2, classes, clients)
    gigaflop = samples / clients * _gigaflop(plan.network, shape, classes)
    return _resolved(config, gigaflop, fits(build_network(plan.network, shape, classes)), report)


def work_of(config: Config, preset: Preset) -> float:
    """A rough count of 10^9 operations: samples through a network forward, or also back to samples (2) or weights (3).

    Of rivals it counts the evaluation only.
    """
    method, classes = method_named(config.method), len(preset.classes)
    clients = config.partition.clients if isinstance(config.partition.clients, int) else len(config.partition.clients)
    sample = sample_for(config, preset)
    stored = config.ipc * classes * tiles_in(config, sample) ** 2
    recipe = recipe_for(config)
    kinds = sum(isinstance(spec, NetworkSpec) for spec in networks_tested(config, preset))
    samples = 3.0 * recipe.count * kinds * min(recipe.epochs * stored, recipe.most_samples or 10**12)
    if method.source == "round":
        samples += _clients_samples(config.plan, local_for(config), stored, classes, clients, central=method.central)
        samples += 2 * config.server.passes * config.plan.seeds * method.refined * stored
    return samples * _gigaflop(network_for(config, preset), sample.shape, classes) * config.repeats


def fitted(network: Spec, preset: Preset) -> Spec:
    """A ConvNet without a depth gets the one that suits the data set's image size."""
    if network.name == "convnet" and network.depth is None and preset.depth != 3:
        return network.model_copy(update={"depth": preset.depth})
    return network


def _resolved(config: Config, gigaflop: float, own: bool, report: Report) -> Engine:
    def tell(line: str) -> None:
        report(Event(stage="engine", done=1, total=1, message=line))

    if isinstance(config.engine, Engine):
        remark = library_remark() if config.engine.fuses and own else None
        if remark:
            tell(remark)
        return config.engine
    return resolve_engine(config.engine, config.device, gigaflop, own=own, tell=tell)


def _clients_samples(
    plan: PlanSpec | Plan, local: LocalSpec, stored: int, classes: int, clients: int, *, central: bool = False
) -> float:
    """Samples through a network at all clients together, each of which has half the classes; `stored`: those of
    their local sets."""
    samples = plan.seeds * plan.batch * classes * (1 if central else clients / 2)
    matched = local.iterations if local.method == "dm" else 0
    samples += 2 * matched * stored
    if matched and not local.reuse:
        samples += matched * local.batch * classes * clients / 2
    return samples


@lru_cache(maxsize=64)
def _gigaflop(spec: NetworkSpec, shape: tuple[int, ...], classes: int) -> float:
    """10^9 operations of one sample through the network; counted once for all cells of a grid."""
    network = build_network(spec, shape, classes)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(torch.empty(1, *shape))
    return counter.get_total_flops() / 1e9
